/** Our archives in the hands of GNU tar, gzip, Python's tarfile and the safetensors library: the same bytes everywhere. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { archiveEntries, toTar, toTarGz } from './archive-write.ts';
import { textEntry, type FileEntry } from './file-entry.ts';
import { encodeFloats } from './float-codec.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import { sha256Hex } from './sha256.ts';
import { stateEntries } from './state-files.ts';
import { fromStream } from './streams.ts';
import { llamaPaths, testAdapter } from './testing-adapter.ts';
import { testExport } from './testing-export.ts';
import { extractByGnuTar, gnuTar, hashesBelow, python, readByPython, run } from './testing-other-tar.ts';
import { fingerprints, testState } from './testing-state.ts';
import { collect } from './testing.ts';

let work = '';
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-tar-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

const adapter = testAdapter({}, llamaPaths(12));
const state = testState(adapter, {
  microStep: 1,
  rng: { algo: 'philox4x32-10', seed: 11, counters: { step: 10, micro: 1 } },
  gradients: fingerprints(adapter, 3),
});
const fullExport = () => archiveEntries(testExport({ adapter, stateFiles: stateEntries(state, adapter) }));
/** Names that need more than the plain form: prefixes, PAX headers, UTF-8. */
const oddNames = () =>
  Promise.resolve(
    [
      'a',
      `${'folder/'.repeat(5)}${'n'.repeat(90)}`,
      `${'p'.repeat(100)}/${'q'.repeat(100)}`,
      'u'.repeat(101),
      'v'.repeat(255),
      'ä/ö€😀.txt',
      'with space/and+plus=equals',
    ].map((path, i) => textEntry(path, 'x'.repeat([0, 1, 511, 512, 513, 1024, 5000][i] ?? 0))),
  );

async function expected(entries: readonly FileEntry[]) {
  const list: { name: string; size: number; sha256: string }[] = [];
  for (const entry of entries) {
    const sha256 = sha256Hex(await collect(entry.chunks()));
    list.push({ name: entry.path, size: entry.size, sha256 });
  }
  return list;
}

describe.each([
  ['a full checkpoint', fullExport],
  ['odd names', oddNames],
] as const)('%s', (label, make) => {
  test.each(['tar', 'tar.gz'] as const)(
    'as .%s is listed and extracted by GNU tar and Python',
    async (form) => {
      const entries = await make();
      const wanted = await expected(entries);
      const path = join(work, `${label.replaceAll(' ', '-')}.${form}`);
      await writeFile(path, await collect(fromStream(form === 'tar' ? toTar(entries) : toTarGz(entries))));

      const [found] = await readByPython([path]);
      const plain = { type: 'file', mode: 0o644, mtime: 0, uid: 0, gid: 0 };
      expect(found).toMatchObject({ ok: true, entries: wanted.map((entry) => ({ ...plain, ...entry })) });

      const listing = await gnuTar(['--numeric-owner', '--quoting-style=literal', '-tvf', path]);
      expect(listing.trim().split('\n')).toEqual(
        wanted.map(({ name, size }) => {
          const [owner, bytes] = ['0/0', String(size)];
          return `-rw-r--r-- ${owner}${bytes.padStart(19 - owner.length)} 1970-01-01 00:00 ${name}`;
        }),
      );
      const dir = await extractByGnuTar(work, path);
      expect(await hashesBelow(dir)).toEqual(
        Object.fromEntries(wanted.map(({ name, sha256 }) => [name, sha256])),
      );
      if (form === 'tar.gz') await run('gzip', ['-t', path]);
    },
  );
});

test('the safetensors inside are those of the library: every tensor, its place and its bytes', async () => {
  const path = join(work, 'checked.tar.gz');
  await writeFile(path, await collect(fromStream(toTarGz(await fullExport()))));
  const dir = await extractByGnuTar(work, path);
  const files = ['adapter_model', 'state/optimizer', 'state/gradients'].map((name) =>
    join(dir, `${name}.safetensors`),
  );
  const [weights, optimizer, gradients] = (await python('check_safetensors.py', files))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { ok: boolean; tensors: object; metadata: Record<string, string> });
  const tensorsOf = (list: typeof adapter.tensors, suffix = '') =>
    Object.fromEntries(
      list.map(({ name, shape, data }) => [
        KEY_PREFIX + name + suffix,
        { dtype: 'F32', shape, sha256: sha256Hex(encodeFloats('F32', data)) },
      ]),
    );
  expect(weights).toMatchObject({ ok: true, metadata: { format: 'pt' } });
  expect(weights?.tensors).toEqual(tensorsOf(adapter.tensors));
  expect(optimizer).toMatchObject({ ok: true, metadata: { format: 'pt', step: '10', type: '"adamw"' } });
  expect(optimizer?.tensors).toEqual({
    ...tensorsOf(state.moments.expAvg, '.exp_avg'),
    ...tensorsOf(state.moments.expAvgSq, '.exp_avg_sq'),
  });
  expect(gradients?.tensors).toEqual(tensorsOf(state.gradients ?? [], '.grad'));
});
