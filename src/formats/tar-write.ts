/**
 * Tar archives whose bytes depend on names and contents alone: ustar headers, times and owners 0, mode 0644, no
 * folder entries. A name or size that ustar cannot hold gets a PAX header, equally free of times.
 */
import { StudioError } from '../errors.ts';
import type { FileEntry } from './file-entry.ts';
import type { Chunk } from './streams.ts';

export const BLOCK = 512;
const MAX_USTAR_SIZE = 8 ** 11 - 1;

const encoder = new TextEncoder();

/** Splits a path at a slash into the prefix and name fields; null when it does not fit. */
function splitPath(path: string): { prefix: string; name: string } | null {
  // Bytes beyond ASCII mean different things to different readers of ustar; PAX says UTF-8.
  if (!/^[\x20-\x7e]+$/.test(path)) return null;
  if (path.length <= 100) return { prefix: '', name: path };
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    if (at <= 155 && path.length - at - 1 <= 100 && path.length - at - 1 > 0) {
      return { prefix: path.slice(0, at), name: path.slice(at + 1) };
    }
  }
  return null;
}

function formatHeader(fields: { prefix: string; name: string; size: number; type: string }): Chunk {
  const block = new Uint8Array(BLOCK);
  const put = (at: number, text: string): void => {
    block.set(encoder.encode(text), at);
  };
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  put(0, fields.name);
  put(100, octal(0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(fields.size, 11));
  put(136, octal(0, 11));
  put(148, ' '.repeat(8));
  put(156, fields.type);
  put(257, 'ustar\x0000');
  put(329, octal(0, 7));
  put(337, octal(0, 7));
  put(345, fields.prefix);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return block;
}

/** One PAX record; its length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).byteLength;
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length++;
  return `${String(length)} ${key}=${value}\n`;
}

function padding(size: number): Chunk {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}

/** The header blocks of an entry: one, or three with a PAX header in front. */
function* headers(entry: FileEntry): Generator<Chunk> {
  const split = splitPath(entry.path);
  const records =
    (split === null ? paxRecord('path', entry.path) : '') +
    (entry.size > MAX_USTAR_SIZE ? paxRecord('size', String(entry.size)) : '');
  if (records !== '') {
    const body = encoder.encode(records);
    yield formatHeader({ prefix: '', name: 'PaxHeader', size: body.byteLength, type: 'x' });
    yield body;
    yield padding(body.byteLength);
  }
  const size = entry.size > MAX_USTAR_SIZE ? 0 : entry.size;
  yield formatHeader({ ...(split ?? { prefix: '', name: 'long-name' }), size, type: '0' });
}

/** The bytes of a tar archive with these entries, in this order. */
export async function* tarChunks(entries: readonly FileEntry[]): AsyncGenerator<Chunk, void, undefined> {
  for (const entry of entries) {
    yield* headers(entry);
    let written = 0;
    for await (const chunk of entry.chunks()) {
      written += chunk.byteLength;
      yield chunk;
    }
    if (written !== entry.size) {
      throw new StudioError({
        code: 'INTERNAL',
        message: `${entry.path} gave ${String(written)} bytes and had announced ${String(entry.size)}.`,
        fix: 'This is a bug in Lorikeet. Please report it with this message.',
      });
    }
    yield padding(entry.size);
  }
  yield new Uint8Array(2 * BLOCK);
}
