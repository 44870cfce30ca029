import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fingerprint } from './build.mjs';

/** @type {string} */
let root;
/** @type {(path: string, text: string) => void} */
const write = (path, text) => writeFileSync(join(root, path), text);
const print = () => fingerprint(root, ['src', 'index.html']);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lorikeet-build-'));
  mkdirSync(join(root, 'src/sub'), { recursive: true });
  write('src/sub/a.ts', 'one');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test('the fingerprint changes with content, name and presence of a source', () => {
  const seen = new Set([print()]);
  write('src/sub/a.ts', 'two');
  seen.add(print());
  renameSync(join(root, 'src/sub/a.ts'), join(root, 'src/sub/b.ts'));
  seen.add(print());
  write('index.html', '');
  seen.add(print());
  expect(seen.size).toBe(4);
});

test('tests and files outside the sources do not change the fingerprint', () => {
  const before = print();
  write('src/sub/a.test.ts', 'test');
  write('other.ts', 'other');
  write('src/sub/a.ts', 'one');
  expect(print()).toBe(before);
});
