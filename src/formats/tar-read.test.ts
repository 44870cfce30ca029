import fc from 'fast-check';
import { unpackTar } from 'modern-tar';
import { describe, expect, it } from 'vitest';
import type { Chunk } from './streams.ts';
import { readTar } from './tar-read.ts';
import { END, inChunks, join, paxRecord, rawEntry, readAll, tarOf, type RawEntry } from './testing-tar.ts';
import { codeOf } from './testing.ts';

const BAD = 'TAR_INVALID';
const pax = (...records: string[]): RawEntry => ({ name: 'PaxHeader', type: 'x', body: records.join('') });
const long = (name: string): RawEntry => ({ name: '././@LongLink', type: 'L', body: `${name}\0` });
const a: RawEntry = { name: 'a', body: 'hello' };
const base256 = (...bytes: number[]) => new Uint8Array(12).map((_, i) => bytes[i] ?? 0);

describe('readTar', () => {
  it('reads files of any size, folders, the GNU magic and NUL types', async () => {
    const big = 'x'.repeat(1300);
    const files = await readAll(
      tarOf(
        { name: 'dir/', type: '5' },
        { name: 'dir/a', body: 'hello' },
        { name: 'empty' },
        { name: 'b', body: big, type: '\0' },
        { name: 'c', body: 'y'.repeat(512), magic: 'ustar  \0' },
        { name: 'end', prefix: 'some/where', body: 'z' },
      ),
    );
    expect([...files.entries()]).toEqual([
      ['dir/a', 'hello'],
      ['empty', ''],
      ['b', big],
      ['c', 'y'.repeat(512)],
      ['some/where/end', 'z'],
    ]);
  });

  it('63: reads the magic of GNU, whose tar writes it by default', async () => {
    expect(await readAll(tarOf({ ...a, magic: 'ustar  \0' }))).toEqual(new Map([['a', 'hello']]));
  });

  it('reads PAX paths and sizes, GNU long names, and ./ in front', async () => {
    const path = `${'n'.repeat(120)}/ä`;
    const files = await readAll(
      tarOf(
        { name: './', type: '5' },
        { name: './x', body: '1' },
        pax(paxRecord('path', path), paxRecord('mtime', '1.5'), paxRecord('SCHILY.xattr.user.a', 'b')),
        { name: 'short', body: '2' },
        long('l'.repeat(130)),
        { name: 'l', body: '3' },
        pax(paxRecord('size', '5')),
        { ...a, size: 0 },
        { name: 'same', body: '' },
      ),
    );
    expect([...files.entries()]).toEqual([
      ['x', '1'],
      [path, '2'],
      ['l'.repeat(130), '3'],
      ['a', 'hello'],
      ['same', ''],
    ]);
  });

  it('reads a positive base-256 size', async () => {
    const files = await readAll(tarOf({ ...a, size: base256(0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5) }));
    expect(files.get('a')).toBe('hello');
  });

  it('80: ignores setuid modes and times in the future', async () => {
    const files = await readAll(tarOf({ ...a, mode: '0006777\0', mtime: '77777777777\0' }));
    expect(files.get('a')).toBe('hello');
  });

  it('skips what the caller does not take', async () => {
    const seen: string[] = [];
    const archive = tarOf({ ...a, body: 'x'.repeat(3000) }, { ...a, name: 'b' });
    for await (const file of readTar('t', inChunks(archive), { maxFileBytes: 1e6, maxTotalBytes: 1e6 })) {
      seen.push(file.path);
      for await (const chunk of file.content) {
        expect(chunk.byteLength).toBeGreaterThan(0);
        break;
      }
    }
    expect(seen).toEqual(['a', 'b']);
  });

  it('closes its input when the caller stops early', async () => {
    let closed = false;
    async function* input(): AsyncGenerator<Chunk> {
      try {
        yield* inChunks(tarOf(a, { ...a, name: 'b' }));
      } finally {
        closed = true;
      }
    }
    for await (const file of readTar('t', input(), { maxFileBytes: 1e6, maxTotalBytes: 1e6 })) {
      expect(file.path).toBe('a');
      break;
    }
    expect(closed).toBe(true);
  });

  const whole = tarOf(a);
  const nameOf = (name: string, entry: RawEntry = {}): Chunk =>
    name.length > 100
      ? tarOf(pax(paxRecord('path', name)), { ...a, ...entry })
      : tarOf({ ...a, name, ...entry });
  const refused: [string, Chunk][] = [
    ['58 cut in the header', whole.subarray(0, 300)],
    ['58 cut in the body', whole.subarray(0, 514)],
    ['58 cut in the padding', whole.subarray(0, 600)],
    ['59 one zero block', join(rawEntry(a), END.subarray(512))],
    ['59 one zero block and more', join(rawEntry(a), END.subarray(512), rawEntry({ name: 'b' }))],
    ['60 no zero blocks', rawEntry(a)],
    ['60 nothing at all', new Uint8Array(0)],
    ['61 something after the end', join(whole, 'x')],
    ['61 another archive after the end', join(whole, tarOf({ ...a, name: 'b' }))],
    ['62 wrong checksum', tarOf({ ...a, checksum: 'wrong' })],
    ['62 signed checksum', tarOf({ name: 'ä', checksum: 'signed' })],
    ['63 the magic of GNU with a prefix', tarOf({ ...a, magic: 'ustar  \0', prefix: 'b' })],
    ['63 no magic', tarOf({ ...a, magic: '' })],
    ['63 another magic', tarOf({ ...a, magic: 'ustar\x0001' })],
    ['64 letters in the size', tarOf({ ...a, size: '0000000000z\0' })],
    ['64 spaces in the size', tarOf({ ...a, size: '     5     \0' })],
    ['64 NUL in the size', tarOf({ ...a, size: '0000\x000000005' })],
    ['64 empty size', tarOf({ ...a, size: '\0'.repeat(12) })],
    ['64 base-256, negative', tarOf({ ...a, size: base256(0xff, 0xff) })],
    ['64 base-256, huge', tarOf({ ...a, size: base256(0x80, 1, 1, 1, 1) })],
    ['65 two sizes', tarOf(pax(paxRecord('size', '512')), { ...a, body: 'x'.repeat(1024) })],
    ['66 PAX before a long name', tarOf(pax(paxRecord('size', '0')), long('b'), a)],
    ['67 record too long', tarOf(pax('99 path=b\n'), a)],
    ['67 record too short', tarOf(pax('5 path=b\n'), a)],
    ['67 record of length 0', tarOf(pax('0 path=b\n'), a)],
    ['67 length with a zero in front', tarOf(pax('010 path=b\n'), a)],
    ['67 no equals sign', tarOf(pax('9 pathbb\n'), a)],
    ['67 no key', tarOf(pax('5 =b\n'), a)],
    ['67 no value', tarOf(pax(paxRecord('path', '')), a)],
    ['67 no newline', tarOf(pax('10 path=bc'), a)],
    ['67 not UTF-8', tarOf({ type: 'x', body: join('10 path=', new Uint8Array([0xff]), '\n') }, a)],
    ['67 the same key twice', tarOf(pax(paxRecord('path', 'b'), paxRecord('path', 'c')), a)],
    ['67 an extended header of 1 GB', tarOf({ type: 'x', size: 2 ** 30 })],
    ['67 a size that is no number', tarOf(pax(paxRecord('size', '-5')), a)],
    ['67 a sparse file', tarOf(pax(paxRecord('GNU.sparse.major', '1')), a)],
    ['68 a global header', tarOf({ ...pax(paxRecord('path', 'b')), type: 'g' }, a)],
    ['69 two extended headers', tarOf(pax(), pax(), a)],
    ['69 two long names', tarOf(long('b'), long('c'), a)],
    ['69 two names', tarOf(long('b'), pax(paxRecord('path', 'c')), a)],
    ['70 a long name of 1 GB', tarOf({ type: 'L', size: 2 ** 30 })],
    ['70 a long name that is empty', tarOf({ type: 'L', name: '././@LongLink' }, { name: 'd/', type: '5' })],
    ['70 a long name without a file', tarOf(long('b'))],
    ['70 an extended header without a file', tarOf(pax(paxRecord('path', 'b')))],
    ...['../x', 'a/../b', '/etc/passwd', 'C:\\x', 'C:x', 'a\\b', '.', '', 'a/./b', 'a//b', 'file/'].map(
      (name): [string, Chunk] => [`71 the name ${JSON.stringify(name)}`, nameOf(name)],
    ),
    ['71 NUL in a name', tarOf({ ...a, name: 'a\0b' })],
    ['71 NUL in a PAX name', tarOf(pax(paxRecord('path', 'a\0b')), a)],
    ['71 control character', nameOf('a\u0007b')],
    ['71 4096 deep', nameOf(Array.from({ length: 4096 }, () => 'd').join('/'))],
    ['71 7 deep', nameOf('1/2/3/4/5/6/7')],
    ['71 256 bytes', nameOf('n'.repeat(256))],
    ['71 not UTF-8', tarOf({ ...a, name: '' }, a).map((byte, i) => (i === 0 ? 0xff : byte))],
    ['71 dot at the end', nameOf('a.')],
    ['71 space at the end', nameOf('a ')],
    ['71 a device of Windows', nameOf('aux.json')],
    ...['1', '2', '3', '4', '6', '7', 'S', 'M', 'K', 'V', 'Z'].map((type): [string, Chunk] => [
      `72 type ${type}`,
      tarOf({ ...a, type }),
    ]),
    ['72 a long link name (K)', tarOf({ ...long('b'), type: 'K' }, a)],
    ['73 the same name twice', tarOf(a, a)],
    ['73 names that differ in case', tarOf(a, { ...a, name: 'A' })],
    ['73 names that differ in normal form', tarOf({ name: '\u00e9' }, { name: 'e\u0301' })],
    ['73 a file that is a folder', tarOf(a, { name: 'a/b' })],
    ['73 a folder that is a file', tarOf({ name: 'a/b' }, a)],
    ['73 a folder entry over a file', tarOf(a, { name: 'a/', type: '5' })],
    ['a folder with a content', tarOf({ name: 'd/', type: '5', body: 'x' })],
  ];
  it.each(refused)('refuses %s', async (_, bytes) => {
    expect(await codeOf(() => readAll(bytes))).toBe(BAD);
  });

  it('74: stops at 10000 entries', async () => {
    let blocks = 0;
    async function* million(): AsyncGenerator<Chunk> {
      for (; blocks < 1_000_000; blocks++) {
        yield await Promise.resolve(rawEntry({ name: String(blocks) }));
      }
    }
    const read = async () => {
      for await (const file of readTar('t', million(), { maxFileBytes: 1, maxTotalBytes: 1 })) {
        expect(file.size).toBe(0);
      }
    };
    await expect(read()).rejects.toThrow('more than 10000 entries');
    expect(blocks).toBeLessThan(10_002);
  });

  it('75: refuses a claimed size over the cap before reading the content', async () => {
    const claimed = join(rawEntry({ ...a, size: 8 ** 11 - 1 }));
    expect(await codeOf(() => readAll(claimed))).toBe('INPUT_TOO_LARGE');
    const many = tarOf(...[1, 2, 3].map((n) => ({ name: String(n), body: 'x'.repeat(400) })));
    expect(await codeOf(() => readAll(many, { maxFileBytes: 1000, maxTotalBytes: 1000 }))).toBe(
      'INPUT_TOO_LARGE',
    );
  });
});

describe('on damage', () => {
  const archive = tarOf(pax(paxRecord('path', 'long')), a, { name: 'b', body: 'x'.repeat(600) });

  it('refuses every truncation', async () => {
    const codes = new Set<string>();
    for (let length = 0; length < archive.byteLength; length++) {
      codes.add(await codeOf(() => readAll(archive.subarray(0, length))));
    }
    expect([...codes]).toEqual([BAD]);
  });

  it('gives a typed error or files for any flipped bit of a header', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(archive.byteLength * 8 - 1), async (bit) => {
        const damaged = archive.slice();
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect([BAD, 'INPUT_TOO_LARGE', 'no error']).toContain(await codeOf(() => readAll(damaged)));
      }),
      { numRuns: 1000 },
    );
  });

  it('accepts nothing that modern-tar reads differently', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd/e', './f', 'ä');
    const type = fc.constantFrom('0', '0', '0', '5', 'x', 'L', '2');
    const body = fc.constantFrom(
      '',
      'q',
      'x'.repeat(512),
      paxRecord('path', 'pp'),
      paxRecord('size', '3'),
      'long\0',
    );
    const entries = fc.array(fc.record({ name, type, body }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(entries, async (list) => {
        const bytes = tarOf(...list);
        let ours: Map<string, string>;
        try {
          ours = await readAll(bytes);
        } catch {
          return;
        }
        const theirs = (await unpackTar(bytes))
          .filter((entry) => entry.header.type === 'file')
          .map((entry): [string, string] => [
            entry.header.name.replace(/^\.\//, ''),
            new TextDecoder().decode(entry.data),
          ]);
        expect([...ours]).toEqual(theirs);
      }),
      { numRuns: 1000 },
    );
  });
});
