import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { cacheFolder } from './cache-folder.ts';
import { tuningFiles } from './load-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'lorikeet-tuning-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

test('a choice of kernels is kept per GPU and shape', async () => {
  const memory = tuningFiles(join(folder, 'new'));
  expect(await memory.get('gpu 1')).toBeNull();
  await memory.set('gpu 1', '{"a": 1}');
  expect(await tuningFiles(join(folder, 'new')).get('gpu 1')).toBe('{"a": 1}');
  expect(await memory.get('gpu 2')).toBeNull();
});

test('a cache that cannot be written harms nobody', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const memory = tuningFiles(join(file, 'below'));
  await memory.set('gpu', 'x');
  expect(await memory.get('gpu')).toBeNull();
});

test('the cache lies where the environment says', () => {
  vi.stubEnv('LORIKEET_CACHE', undefined);
  vi.stubEnv('XDG_CACHE_HOME', undefined);
  expect(cacheFolder('hub')).toBe(join(homedir(), '.cache', 'lorikeet', 'hub'));
  vi.stubEnv('XDG_CACHE_HOME', '/x');
  expect(cacheFolder('hub')).toBe(join('/x', 'lorikeet', 'hub'));
  vi.stubEnv('LORIKEET_CACHE', '/y');
  expect(cacheFolder('hub')).toBe(join('/y', 'hub'));
});
