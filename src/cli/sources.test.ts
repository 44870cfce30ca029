import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { textEntry } from '../formats/file-entry.ts';
import { startFakeHub } from '../hub/testing-hub.ts';
import { createReporter } from './progress.ts';
import { modelFiles, openAdapterAt, openModelAt, readDataFile, tinyFolder, writeExport } from './sources.ts';

const folder = mkdtempSync(join(tmpdir(), 'lorikeet-sources-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());
const quiet = createReporter({ quiet: true });

test('tiny is the embedded model', async () => {
  expect(existsSync(join(tinyFolder(), 'model.safetensors'))).toBe(true);
  expect(await openModelAt('tiny', quiet)).toMatchObject({ id: 'lorikeet-tiny', revision: null });
});

test('a folder is named so that nobody takes it for a Hub id', async () => {
  const before = process.cwd();
  const inner = join(folder, 'inner');
  mkdirSync(join(inner, 'owner/name'), { recursive: true });
  process.chdir(inner);
  try {
    expect(await modelFiles('owner/name', quiet)).toMatchObject({ id: './owner/name', revision: null });
    expect(await modelFiles('./owner/name', quiet)).toMatchObject({ id: './owner/name' });
    expect(await modelFiles('..', quiet)).toMatchObject({ id: '..' });
  } finally {
    process.chdir(before);
  }
  expect(await modelFiles(folder, quiet)).toMatchObject({ id: folder });
});

test('a Hub id is downloaded into the cache, and named with its commit', async () => {
  const names = readdirSync(tinyFolder());
  const files = new Map(names.map((name) => [name, Uint8Array.from(readFileSync(join(tinyFolder(), name)))]));
  const hub = await startFakeHub('owner/tiny-one', files);
  vi.stubEnv('HF_ENDPOINT', hub.url);
  vi.stubEnv('LORIKEET_CACHE', join(folder, 'cache'));
  try {
    const model = await openModelAt('owner/tiny-one', quiet);
    expect(model).toMatchObject({ id: 'owner/tiny-one', revision: hub.commit, dtype: 'BF16' });
    expect(readdirSync(join(folder, 'cache'))).not.toEqual([]);
    await expect(openModelAt('owner/other', quiet)).rejects.toMatchObject({
      code: 'HUB_FAILED',
      message: expect.stringMatching(/^There is no folder owner\/other, and the Hub says: /) as string,
    });
  } finally {
    await hub.close();
  }
});

test('a path that is not there is refused, and a file is no model', async () => {
  await expect(modelFiles('./missing/model/folder', quiet)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  await expect(modelFiles(file, quiet)).rejects.toMatchObject({
    code: 'FILE_NOT_FOUND',
    message: `${file} is a file, not a model folder.`,
  });
});

test('data files are read whole; folders and what is not there are refused', async () => {
  const path = join(folder, 'rows.jsonl');
  writeFileSync(path, '{"text": "a"}');
  expect(await readDataFile(path)).toEqual({
    name: 'rows.jsonl',
    bytes: new TextEncoder().encode('{"text": "a"}'),
  });
  await expect(readDataFile(folder)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  await expect(readDataFile(`${path}.gone`)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
});

test('what is no adapter is refused by name', async () => {
  await expect(openAdapterAt(tinyFolder(), quiet)).rejects.toMatchObject({ code: 'ADAPTER_INVALID' });
});

test('an export goes into a folder, or an archive where the path says so', async () => {
  const entries = [textEntry('a.txt', 'a'), textEntry('b.txt', 'b')];
  await writeExport(join(folder, 'out'), entries);
  expect(readdirSync(join(folder, 'out'))).toEqual(['a.txt', 'b.txt']);
  await writeExport(join(folder, 'out.tar.gz'), entries);
  expect(existsSync(join(folder, 'out.tar.gz'))).toBe(true);
  await expect(writeExport(join(folder, 'out'), entries)).rejects.toMatchObject({
    code: 'FILE_WRITE_FAILED',
  });
});
