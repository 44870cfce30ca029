import { randomBytes } from 'node:crypto';
import { gzipSync, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { StudioError } from '../errors.ts';
import { gunzip, gzip, sniffContainer } from './gzip.ts';
import { fromStream, toStream, type Chunk } from './streams.ts';
import { gzipCorpus, packed } from './testing-gzip-corpus.ts';
import { inChunks, join } from './testing-tar.ts';
import { codeOf, collect } from './testing.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const unpack = async (bytes: Chunk, maxBytes = 1e6, pieceBytes = 5) =>
  new TextDecoder().decode(await collect(gunzip('t.gz', inChunks(bytes, pieceBytes), maxBytes)));

const codeIn = (error: unknown): string =>
  error instanceof StudioError ? error.code : `not a StudioError: ${String(error)}`;

async function* inParts(parts: readonly Chunk[]): AsyncGenerator<Chunk> {
  for (const part of parts) yield await Promise.resolve(part);
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
  it('reads what gzip wrote', async () => {
    expect(await unpack(await collect(fromStream(gzip([utf8('hello')]))))).toBe('hello');
  });

  it.each(gzipCorpus().map((c) => [`${String(c.number)} ${c.name}`, c] as const))(
    '%s',
    async (_, { bytes, text }) => {
      for (const pieceBytes of [1, 5, bytes.byteLength + 1]) {
        const read = await unpack(bytes, 1e6, pieceBytes).catch((error: unknown) => error);
        expect(text === null ? codeIn(read) : read).toBe(text ?? 'GZIP_INVALID');
      }
    },
  );

  it('81: names what the file is instead', async () => {
    await expect(unpack(utf8('<html>login</html>'))).rejects.toThrow('t.gz is not a gzip file but html.');
  });

  it('82: refuses every truncation', async () => {
    const bytes = packed('hello '.repeat(50));
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(await codeOf(() => unpack(bytes.slice(0, length)))).toBe('GZIP_INVALID');
    }
  });

  it('86: never cuts several members short in silence, wherever the chunks are cut', async () => {
    const hello = packed('hello ');
    for (const files of [
      join(hello, packed('world')),
      join(hello, new Uint8Array(3), packed('world')),
      join(hello, packed(''), packed('world')),
    ]) {
      for (let at = 1; at < files.byteLength; at++) {
        const parts = inParts([files.subarray(0, at), files.subarray(at)]);
        expect(await codeOf(() => collect(gunzip('t', parts, 1e6)))).toBe('GZIP_INVALID');
      }
    }
  });

  it('86, 90: an empty member in front: the host decides, read in full or refused', async () => {
    const read = await unpack(join(packed(''), packed('world'))).catch(codeIn);
    expect(['world', 'GZIP_INVALID']).toContain(read);
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

  it('92: passes the error of its input on, wherever it strikes', async () => {
    const hello = packed('hello');
    const gone = new StudioError({ code: 'FILE_UNREADABLE', message: 'The disk is gone.', fix: 'Find it.' });
    for (let at = 0; at <= hello.byteLength; at++) {
      async function* failing(): AsyncGenerator<Chunk> {
        yield hello.slice(0, at);
        await Promise.resolve();
        throw gone;
      }
      expect(await codeOf(() => collect(gunzip('t', failing(), 1e6)))).toBe('FILE_UNREADABLE');
    }
  });

  it('92: waits for a slow input', async () => {
    async function* slow(): AsyncGenerator<Chunk> {
      for (const byte of packed('hello')) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        yield new Uint8Array([byte]);
      }
    }
    expect(new TextDecoder().decode(await collect(gunzip('t', slow(), 1e6)))).toBe('hello');
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
