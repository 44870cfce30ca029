import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { textEntry } from '../formats/file-entry.ts';
import { codeOf } from '../formats/testing.ts';
import { toStream, type Chunk } from '../formats/streams.ts';
import {
  checkTarget,
  fileSource,
  folderFileSet,
  openPath,
  writeFileAtomically,
  writeFolderAtomically,
} from './node-fs.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lorikeet-fs-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});
const at = (...parts: string[]) => join(dir, ...parts);
const utf8 = (text: string): Chunk => new TextEncoder().encode(text);

async function* failing(): AsyncGenerator<Chunk> {
  yield utf8('half');
  await Promise.resolve();
  throw new Error('the source broke');
}

describe('fileSource', () => {
  it('reads ranges', async () => {
    writeFileSync(at('a.txt'), 'hello world');
    const source = await fileSource(at('a.txt'));
    expect(source).toMatchObject({ name: 'a.txt', size: 11 });
    expect(new TextDecoder().decode(await source.read(6, 11))).toBe('world');
    expect((await source.read(3, 3)).byteLength).toBe(0);
  });

  it('36: refuses a file that was replaced or changed meanwhile', async () => {
    writeFileSync(at('a.txt'), 'hello');
    const replaced = await fileSource(at('a.txt'));
    rmSync(at('a.txt'));
    expect(await codeOf(() => replaced.read(0, 5))).toBe('FILE_NOT_FOUND');
    writeFileSync(at('a.txt'), 'hello again');
    expect(await codeOf(() => replaced.read(0, 5))).toBe('FILE_UNREADABLE');
  });

  it('says what is missing', async () => {
    await expect(fileSource(at('nothing'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    writeFileSync(at('a.txt'), 'x');
    const source = await fileSource(at('a.txt'));
    expect(await codeOf(() => source.read(0, 2))).toBe('FILE_UNREADABLE');
  });
});

describe('folderFileSet', () => {
  it('lists files in folders, without hidden ones, through links', async () => {
    mkdirSync(at('m', 'sub'), { recursive: true });
    writeFileSync(at('m', 'b.json'), '{}');
    writeFileSync(at('m', '.hidden'), 'x');
    writeFileSync(at('m', 'sub', 'c'), 'in sub');
    writeFileSync(at('blob'), 'linked');
    symlinkSync(at('blob'), at('m', 'a.bin'));
    symlinkSync(at('m'), at('m', 'loop'));
    symlinkSync(at('gone'), at('m', 'dangling'));
    const files = await folderFileSet(at('m'));
    expect(files.names().filter((name) => !name.startsWith('loop/'))).toEqual(['a.bin', 'b.json', 'sub/c']);
    expect(files.names().length).toBeLessThan(20);
    const linked = await files.open('a.bin');
    expect(new TextDecoder().decode(await linked.read(0, linked.size))).toBe('linked');
    expect((await files.open('sub/c')).name).toBe('sub/c');
    expect(await codeOf(() => files.open('../blob'))).toBe('FILE_NOT_FOUND');
  });

  it('names a folder that is not there', async () => {
    expect(await codeOf(() => folderFileSet(at('no')))).toBe('FILE_NOT_FOUND');
    expect(await codeOf(() => openPath(at('no')))).toBe('FILE_NOT_FOUND');
  });

  it('is what openPath gives for a folder', async () => {
    writeFileSync(at('f'), 'x');
    expect(await openPath(dir)).toHaveProperty('names');
    expect(await openPath(at('f'))).toMatchObject({ name: 'f', size: 1 });
  });
});

describe('writeFileAtomically', () => {
  it('writes a stream, and makes the folders above', async () => {
    await writeFileAtomically(at('new', 'deep', 'x.bin'), toStream([utf8('ab'), utf8('c')]));
    expect(readFileSync(at('new', 'deep', 'x.bin'), 'utf8')).toBe('abc');
    expect(readdirSync(at('new', 'deep'))).toEqual(['x.bin']);
  });

  it('leaves nothing when the source fails', async () => {
    await expect(writeFileAtomically(at('x.bin'), failing())).rejects.toMatchObject({
      code: 'FILE_WRITE_FAILED',
      cause: new Error('the source broke'),
    });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('keeps an existing file unless told otherwise, also when writing fails', async () => {
    writeFileSync(at('x.bin'), 'old');
    expect(await codeOf(() => writeFileAtomically(at('x.bin'), [utf8('new')]))).toBe('FILE_WRITE_FAILED');
    expect(await codeOf(() => writeFileAtomically(at('x.bin'), failing(), { overwrite: true }))).toBe(
      'FILE_WRITE_FAILED',
    );
    expect(readFileSync(at('x.bin'), 'utf8')).toBe('old');
    await writeFileAtomically(at('x.bin'), [utf8('new')], { overwrite: true });
    expect(readFileSync(at('x.bin'), 'utf8')).toBe('new');
    expect(readdirSync(dir)).toEqual(['x.bin']);
  });

  it('fails by name where a file stands in the way of a folder', async () => {
    writeFileSync(at('file'), 'x');
    expect(await codeOf(() => writeFileAtomically(at('file', 'x'), [utf8('y')]))).toBe('FILE_WRITE_FAILED');
  });
});

describe('writeFolderAtomically', () => {
  const entries = [textEntry('a.txt', 'hello'), textEntry('state/b.txt', 'world')];

  it('writes all files, also into an empty folder', async () => {
    mkdirSync(at('out'));
    await writeFolderAtomically(at('out'), entries);
    expect(readFileSync(at('out', 'a.txt'), 'utf8')).toBe('hello');
    expect(readFileSync(at('out', 'state', 'b.txt'), 'utf8')).toBe('world');
    expect(readdirSync(dir)).toEqual(['out']);
  });

  it('refuses a folder with content, before and at the writing', async () => {
    mkdirSync(at('out'));
    writeFileSync(at('out', 'mine'), 'x');
    expect(await codeOf(() => checkTarget(at('out')))).toBe('FILE_WRITE_FAILED');
    expect(await codeOf(() => writeFolderAtomically(at('out'), entries))).toBe('FILE_WRITE_FAILED');
    expect(readdirSync(at('out'))).toEqual(['mine']);
    await writeFolderAtomically(at('out'), entries, { overwrite: true });
    expect(readdirSync(at('out'))).toEqual(['a.txt', 'state']);
    expect(readdirSync(dir)).toEqual(['out']);
  });

  it('leaves nothing when one file fails', async () => {
    const broken = { path: 'z', size: 4, chunks: failing };
    expect(await codeOf(() => writeFolderAtomically(at('out'), [...entries, broken]))).toBe(
      'FILE_WRITE_FAILED',
    );
    const escape = textEntry('../escape', 'x');
    expect(await codeOf(() => writeFolderAtomically(at('out'), [escape]))).toBe('FILE_WRITE_FAILED');
    expect(readdirSync(dir)).toEqual([]);
    expect(existsSync(at('escape'))).toBe(false);
  });
});
