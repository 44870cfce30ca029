import { randomBytes } from 'node:crypto';
import { gzipSync, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { gunzip, gzip, sniffContainer } from './gzip.ts';
import { fromStream, toStream, type Chunk } from './streams.ts';
import { inChunks, join } from './testing-tar.ts';
import { codeOf, collect } from './testing.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const packed = (content: string | Uint8Array): Chunk => new Uint8Array(gzipSync(content));
const unpack = async (bytes: Chunk, maxBytes = 1e6) =>
  new TextDecoder().decode(await collect(gunzip('t.gz', inChunks(bytes, 5), maxBytes)));

/** A member with optional header fields: FEXTRA, FNAME, FCOMMENT, FHCRC. */
function withFields(flags: number, fields: Uint8Array): Chunk {
  const plain = packed('hello');
  const head = plain.slice(0, 10);
  head[3] = flags;
  return join(head, fields, plain.subarray(10));
}

describe('gzip', () => {
  it('writes what the host reads, the same each time and without a time', async () => {
    const pack = () => collect(fromStream(gzip([utf8('hello '), utf8('world')])));
    const bytes = await pack();
    expect(gunzipSync(bytes).toString()).toBe('hello world');
    expect(await pack()).toEqual(bytes);
    expect([...bytes.subarray(4, 8)]).toEqual([0, 0, 0, 0]);
  });
});

describe('gunzip', () => {
  it('reads what gzip wrote, and optional header fields', async () => {
    expect(await unpack(await collect(fromStream(gzip([utf8('hello')]))))).toBe('hello');
    expect(
      await unpack(withFields(4 | 8 | 16, join(new Uint8Array([3, 0]), 'abc', 'name\0', 'comment\0'))),
    ).toBe('hello');
    expect(await unpack(packed(''))).toBe('');
  });

  const hello = packed('hello');
  const at = (index: number, byte: number): Chunk => hello.map((b, i) => (i === index ? byte : b));
  const refused: [string, Chunk][] = [
    ['81 zip', join('PK\u0003\u0004', new Uint8Array(600))],
    ['81 zstd', new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0])],
    ['81 xz', join(new Uint8Array([0xfd]), '7zXZ\0')],
    ['81 bzip2', utf8('BZh91AY')],
    ['81 an HTML page', utf8('<!DOCTYPE html><html>404</html>')],
    ['81 text', utf8('hello')],
    ['nothing', new Uint8Array(0)],
    ['83 bad checksum', at(hello.byteLength - 6, 0x55)],
    ['83 bad length', at(hello.byteLength - 1, 0x55)],
    ['84 reserved flags', at(3, 0x80)],
    ['84 another method', at(2, 9)],
    ['84 extra field longer than the file', withFields(4, new Uint8Array([0xff, 0xff]))],
    ['84 name without end', withFields(8, new Uint8Array(100_000).fill(0x61))],
    ['84 comment without end', withFields(16, new Uint8Array(100_000).fill(0x61))],
    ['85 something after the end', join(hello, 'junk')],
  ];
  it.each(refused)('refuses %s', async (_, bytes) => {
    expect(await codeOf(() => unpack(bytes))).toBe('GZIP_INVALID');
  });

  it('81: names what the file is instead', async () => {
    await expect(unpack(utf8('<html>login</html>'))).rejects.toThrow('t.gz is not a gzip file but html.');
  });

  it('82: refuses every truncation', async () => {
    const bytes = packed('hello '.repeat(50));
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(await codeOf(() => unpack(bytes.slice(0, length)))).toBe('GZIP_INVALID');
    }
  });

  it('86: never cuts several members short in silence', async () => {
    const two = join(packed('hello '), packed('world'));
    const result = await unpack(two).catch((error: unknown) => (error as { code: string }).code);
    // The host decides: read in full (Node 20), or refused (browsers, newer Node).
    expect(['hello world', 'GZIP_INVALID']).toContain(result);
  });

  it('87: stops at the cap, long before the end of a bomb', async () => {
    const zeros = new Uint8Array(gzipSync(new Uint8Array(64 * 2 ** 20)));
    let out = 0;
    const read = async () => {
      for await (const chunk of gunzip('bomb.gz', inChunks(zeros, 1000), 2 ** 20)) out += chunk.byteLength;
    };
    expect(await codeOf(read)).toBe('INPUT_TOO_LARGE');
    expect(out).toBeLessThanOrEqual(2 ** 20);
  });

  it('89: reads zeros, however well they shrink', async () => {
    const zeros = new Uint8Array(gzipSync(new Uint8Array(2 ** 20)));
    expect((await unpack(zeros, 2 ** 20)).length).toBe(2 ** 20);
  });

  it('88: a gzip within is just bytes', async () => {
    const inner = packed('x');
    expect(await collect(gunzip('t', inChunks(packed(inner)), 1e6))).toEqual(inner);
  });

  it('91: takes no more input than it needs, and closes it when the reader stops early', async () => {
    let taken = 0;
    let closed = false;
    async function* input(): AsyncGenerator<Chunk> {
      try {
        const noise = packed(new Uint8Array(randomBytes(20e6)));
        for await (const chunk of inChunks(noise, 50_000)) {
          taken += chunk.byteLength;
          yield chunk;
        }
      } finally {
        closed = true;
      }
    }
    for await (const chunk of gunzip('t', input(), 1e9)) {
      expect(chunk.byteLength).toBeGreaterThan(0);
      break;
    }
    expect(closed).toBe(true);
    expect(taken).toBeLessThan(300_000);
  });

  it('92: passes the error of its input on', async () => {
    async function* failing(): AsyncGenerator<Chunk> {
      yield hello.slice(0, 12);
      await Promise.resolve();
      throw new Error('the disk is gone');
    }
    await expect(collect(gunzip('t', failing(), 1e6))).rejects.toThrow('the disk is gone');
  });
});

describe('toStream and fromStream', () => {
  it('ask for a chunk only when one is wanted', async () => {
    let made = 0;
    function* chunks(): Generator<Chunk> {
      for (;;) yield new Uint8Array([made++]);
    }
    for await (const chunk of fromStream(toStream(chunks()))) if (chunk[0] === 2) break;
    expect(made).toBe(3);
  });
});

describe('sniffContainer', () => {
  it('knows tar by its magic', () => {
    const tar = new Uint8Array(512);
    tar.set(utf8('ustar'), 257);
    expect(sniffContainer(tar)).toBe('tar');
    expect(sniffContainer(new Uint8Array(512))).toBe('unknown');
  });
});
