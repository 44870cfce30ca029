/**
 * Archives by GNU tar and Python's tarfile in every format that they know: read with the same names and bytes, or
 * refused as the list of hostile inputs says (section C). And the other way round: what is read here, both of them
 * read in the same way.
 */
import { mkdir, mkdtemp, readFile, rm, symlink, link, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StudioError } from '../errors.ts';
import { readAdapterArchive } from './archive-read.ts';
import { bytesSource } from './bytes.ts';
import { gunzip, sniffContainer } from './gzip.ts';
import { sha256Hex } from './sha256.ts';
import { sourceChunks, type Chunk } from './streams.ts';
import { readTar } from './tar-read.ts';
import { adapterFiles, testAdapter } from './testing-adapter.ts';
import {
  extractByGnuTar,
  gnuTar,
  hashesBelow,
  python,
  readByPython,
  run,
  writeTree,
} from './testing-other-tar.ts';
import { paxRecord, rawEntry, tarOf, join as joinBytes, END, type RawEntry } from './testing-tar.ts';
import { collect } from './testing.ts';

let work = '';
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lorikeet-other-tar-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

const newFolder = () => mkdtemp(join(work, 'f-'));
const bytesOf = async (path: string): Promise<Chunk> => new Uint8Array(await readFile(path));

/** Path to hash of every file, or the code of the error; .tar.gz by the content. */
async function ours(bytes: Chunk): Promise<Record<string, string> | string> {
  const source = bytesSource('a.tar', bytes);
  const packed = sniffContainer(bytes) === 'gzip';
  const chunks = packed ? gunzip('a.tar.gz', sourceChunks(source), 1e9) : sourceChunks(source);
  const hashes: Record<string, string> = {};
  try {
    for await (const file of readTar('a.tar', chunks, { maxFileBytes: 1e9, maxTotalBytes: 1e9 })) {
      hashes[file.path] = sha256Hex(await collect(file.content));
    }
    return hashes;
  } catch (error) {
    if (error instanceof StudioError) return error.code;
    throw error;
  }
}

/** Names of every length that ustar can hold; contents around the size of a block. */
const TREE: Readonly<Record<string, string>> = {
  a: 'hello',
  empty: '',
  'folder/b': 'x'.repeat(511),
  'folder/deep/er/c': 'y'.repeat(512),
  [`${'p'.repeat(60)}/${'q'.repeat(95)}`]: 'z'.repeat(513),
  'large.bin': '0123456789'.repeat(10_000),
};
/** Names that need GNU's or PAX's extensions. */
const LONG: Readonly<Record<string, string>> = { ...TREE, [`long/${'n'.repeat(150)}`]: 'n', 'ü/ö.txt': 'ü' };
const hashesOf = (files: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(files).map(([path, text]) => [path, sha256Hex(new TextEncoder().encode(text))]),
  );

describe('GNU tar', () => {
  test.each([
    ['ustar', TREE],
    ['gnu', LONG],
    ['oldgnu', LONG],
    ['pax', LONG],
    ['posix', LONG],
  ])('of the format %s is read, packed as . and by names, plain and with gzip', async (format, files) => {
    const dir = await newFolder();
    await writeTree(dir, files);
    const tops = [...new Set(Object.keys(files).map((path) => path.split('/')[0] ?? ''))];
    for (const names of [['.'], tops]) {
      for (const [flags, name] of [
        ['-cf', 'a.tar'],
        ['-czf', 'a.tar.gz'],
      ] as const) {
        const path = join(await newFolder(), name);
        await gnuTar([`--format=${format}`, flags, path, '-C', dir, ...names]);
        expect(await ours(await bytesOf(path))).toEqual(hashesOf(files));
      }
    }
  });

  test('with archives that grew: appended to, and of sizes that end on a record', async () => {
    const dir = await newFolder();
    await writeTree(dir, TREE);
    const path = join(await newFolder(), 'a.tar');
    await gnuTar(['-cf', path, '-C', dir, 'a']);
    await gnuTar(['-rf', path, '-C', dir, 'empty', 'large.bin']);
    expect(Object.keys((await ours(await bytesOf(path))) as object)).toEqual(['a', 'empty', 'large.bin']);
    for (const blocking of [1, 2, 20, 64]) {
      await gnuTar(['-b', String(blocking), '-cf', path, '-C', dir, 'a']);
      expect(await ours(await bytesOf(path))).toEqual(hashesOf({ a: 'hello' }));
    }
  });

  const special = async (name: string): Promise<string> => {
    const dir = await newFolder();
    await writeTree(dir, { file: 'x' });
    if (name === 'symlink') await symlink('file', join(dir, 'z'));
    else if (name === 'hardlink') await link(join(dir, 'file'), join(dir, 'z'));
    else if (name === 'fifo') await run('mkfifo', [join(dir, 'z')]);
    else if (name === 'sparse') {
      await writeFile(join(dir, 'z'), '');
      await truncate(join(dir, 'z'), 10 * 2 ** 20);
    } else await mkdir(join(dir, 'z'));
    return dir;
  };
  test.each([
    ['63 v7, which has no magic', 'folder', ['--format=v7']],
    ['68 a global header', 'folder', ['--format=pax', '--pax-option=comment=x']],
    ['72 a symbolic link', 'symlink', []],
    ['72 a hard link', 'hardlink', []],
    ['72 a pipe', 'fifo', []],
    ['72 a sparse file of GNU', 'sparse', ['-S', '--format=gnu']],
    ['72 a sparse file of PAX', 'sparse', ['-S', '--format=pax']],
    ['72 a label', 'folder', ['--label=x', '--format=gnu']],
    ['72 the list of a folder', 'folder', ['-G']],
    ['71 names with .. in front', 'folder', ['-P', '--transform=s,^./file,../../file,']],
    ['71 absolute names', 'folder', ['-P', '--transform=s,^./file,/file,']],
    ['73 one name twice', 'folder', ['--transform=s,^./z.*,file,', '--no-recursion', './file', './file']],
  ] as const)('refuses %s', async (_, name, options) => {
    const path = join(await newFolder(), 'a.tar');
    await gnuTar(['-cf', path, '-C', await special(name), ...options, '.']);
    expect(await ours(await bytesOf(path))).toBe('TAR_INVALID');
  });

  test('refuses 58, 61, 72 and 86: parts of a volume, archives and gzip files one behind another', async () => {
    const dir = await newFolder();
    await writeTree(dir, TREE);
    const [one, two] = [join(work, 'one.tar'), join(work, 'two.tar')];
    await gnuTar(['-cf', one, '-C', dir, 'a']);
    await gnuTar(['-cf', two, '-C', dir, 'empty']);
    const [first, second] = [await bytesOf(one), await bytesOf(two)];
    expect(await ours(joinBytes(first, second))).toBe('TAR_INVALID');
    await run('gzip', ['-k', one, two]);
    const packed = joinBytes(await bytesOf(`${one}.gz`), await bytesOf(`${two}.gz`));
    expect(await ours(packed)).toMatch(/^(GZIP|TAR)_INVALID$/);
    const volumes = await newFolder();
    const parts = [join(volumes, '1'), join(volumes, '2'), join(volumes, '3')];
    const files = parts.flatMap((part) => ['-f', part]);
    await gnuTar(['-c', '-M', '-L', '40', ...files, '-C', dir, 'large.bin']);
    for (const part of parts) expect(await ours(await bytesOf(part))).toBe('TAR_INVALID');
  });
});

describe("Python's tarfile", () => {
  async function written(entries: object[]): Promise<Map<string, Chunk>> {
    const dir = await newFolder();
    const list = join(dir, 'entries.json');
    await writeFile(list, JSON.stringify(entries));
    const names = JSON.parse(await python('check_tar.py', ['write', list, dir])) as string[];
    const archives = new Map<string, Chunk>();
    for (const name of names) archives.set(name, await bytesOf(join(dir, name)));
    return archives;
  }

  test('is read in all its formats, with folders, long names and times that are fractions', async () => {
    for (const [files, formats] of [
      [TREE, 6],
      [LONG, 4],
    ] as const) {
      const entries = Object.entries(files).map(([name, text], i) => ({ name, text, mtime: 1e9 + i / 4 }));
      const archives = await written([{ name: 'folder', type: 'folder' }, ...entries]);
      expect(archives.size).toBe(formats);
      for (const [name, bytes] of archives) {
        expect({ name, hashes: await ours(bytes) }).toEqual({ name, hashes: hashesOf(files) });
      }
    }
  });

  test.each([
    ['68 a global header', [{ name: 'a', text: 'x', comment: 'y' }], ['pax.tar', 'pax.tar.gz']],
    ['71 a path with ..', [{ name: '../a', text: 'x' }], []],
    ['71 an absolute path', [{ name: '/etc/passwd', text: 'x' }], []],
    ['71 a name that is not UTF-8', [{ name: 'a\udcff', text: 'x' }], []],
    ['72 a symbolic link', [{ name: 'a', type: 'symlink', target: '/etc/passwd' }], []],
    [
      '72 a hard link',
      [
        { name: 'a', text: '' },
        { name: 'b', type: 'hardlink', target: 'a' },
      ],
      [],
    ],
    ['72 a pipe', [{ name: 'a', type: 'fifo' }], []],
    [
      '73 one name twice',
      [
        { name: 'a', text: 'x' },
        { name: 'a', text: 'y' },
      ],
      [],
    ],
    ['73 names that differ in case', [{ name: 'a' }, { name: 'A' }], []],
    ['71 a name of 300 bytes', [{ name: `a/${'n'.repeat(300)}` }], []],
  ])('refuses %s', async (_, entries, only) => {
    const archives = await written(entries);
    expect(archives.size).toBeGreaterThan(0);
    for (const [name, bytes] of archives) {
      const refused = only.length === 0 || only.some((one) => one === name);
      expect({ name, refused: (await ours(bytes)) === 'TAR_INVALID' }).toEqual({ name, refused });
    }
  });

  test('packs an adapter that is imported', async () => {
    const files = Array.from(await adapterFiles(testAdapter()));
    const dir = await newFolder();
    await writeTree(dir, Object.fromEntries(files));
    const path = join(await newFolder(), 'adapter.tar.gz');
    await gnuTar(['-czf', path, '-C', dir, '.']);
    const read = await readAdapterArchive(bytesSource('adapter.tar.gz', await bytesOf(path)));
    expect(read.adapter).toEqual(testAdapter());
  });
});

/** Entries of every type, extension headers that fit and that do not, one behind another. */
const anyEntries = fc.array(
  fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd/e', './f', 'ä', 'd'),
    type: fc.constantFrom('0', '0', '0', '0', '\0', '5', 'x', 'L', 'g', '2'),
    body: fc.constantFrom(
      '',
      'q',
      'x'.repeat(512),
      paxRecord('path', 'pp'),
      paxRecord('size', '3'),
      paxRecord('mtime', '1.5') + paxRecord('path', 'ü'),
      'long\0',
      'no end',
    ),
    magic: fc.constantFrom('ustar\x0000', 'ustar\x0000', 'ustar  \0'),
    prefix: fc.constantFrom('', '', '', 'pre'),
  }),
  { minLength: 1, maxLength: 4 },
);

test('what is read here, Python and GNU tar read in the same way', async () => {
  const dir = await newFolder();
  const read: { path: string; hashes: Record<string, string> }[] = [];
  let refused = 0;
  for (const [i, entries] of fc.sample(anyEntries, 3000).entries()) {
    const bytes = i % 2 === 0 ? tarOf(...entries) : damaged(entries, i);
    const hashes = await ours(bytes);
    if (typeof hashes === 'string') {
      refused += 1;
      continue;
    }
    const path = join(dir, `${String(i)}.tar`);
    await writeFile(path, bytes);
    read.push({ path, hashes });
  }
  console.log(`${String(read.length)} read, ${String(refused)} refused`);
  expect(read.length).toBeGreaterThan(200);
  expect(refused).toBeGreaterThan(200);
  const verdicts = await readByPython(read.map(({ path }) => path));
  const theirs = verdicts.map((verdict) => (verdict.ok ? filesOf(verdict.entries) : verdict.error));
  expect(theirs).toEqual(read.map(({ hashes }) => hashes));
  for (const { path, hashes } of read.slice(0, 200)) {
    expect(await hashesBelow(await extractByGnuTar(dir, path))).toEqual(hashes);
  }
});

/** One byte of a header or of an extension changed and its checksum left as it was, or the end cut. */
function damaged(entries: readonly RawEntry[], seed: number): Chunk {
  const bytes = tarOf(...entries);
  const at = (seed * 7919) % bytes.byteLength;
  if (seed % 3 === 0) return joinBytes(...entries.map(rawEntry), END.subarray(0, at % 1024));
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (seed % 8));
  return bytes;
}

function filesOf(entries: readonly { name: string; type: string; sha256: string }[]): Record<string, string> {
  const files = entries.filter(({ type }) => type === 'file');
  return Object.fromEntries(files.map(({ name, sha256 }) => [name.replace(/^\.\//, ''), sha256]));
}
