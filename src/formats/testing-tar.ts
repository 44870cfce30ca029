/** Tar archives put together block by block, so that tests can break any part of them. */
import { collect } from './testing.ts';
import type { Chunk } from './streams.ts';
import { readTar, type TarLimits } from './tar-read.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);

export interface RawEntry {
  name?: string;
  type?: string;
  body?: string | Uint8Array;
  /** The size field as it stands in the file: a number, twelve characters, or bytes. */
  size?: number | string | Uint8Array;
  magic?: string;
  prefix?: string;
  mode?: string;
  mtime?: string;
  checksum?: 'right' | 'wrong' | 'signed';
}

/** A header with padded body. */
export function rawEntry(entry: RawEntry): Chunk {
  const body = typeof entry.body === 'string' ? utf8(entry.body) : (entry.body ?? new Uint8Array(0));
  const bytes = new Uint8Array(512 + Math.ceil(body.byteLength / 512) * 512);
  const put = (at: number, value: string | Uint8Array): void => {
    bytes.set(typeof value === 'string' ? utf8(value) : value, at);
  };
  const size = entry.size ?? body.byteLength;
  put(0, entry.name ?? 'file');
  put(100, entry.mode ?? '0000644\0');
  put(108, '0000000\x000000000\0');
  put(124, typeof size === 'number' ? `${size.toString(8).padStart(11, '0')}\0` : size);
  put(136, entry.mtime ?? '00000000000\0');
  put(148, '        ');
  put(156, entry.type ?? '0');
  put(257, entry.magic ?? 'ustar\x0000');
  put(345, entry.prefix ?? '');
  const header = bytes.subarray(0, 512);
  const signed = new Int8Array(header.buffer, header.byteOffset, 512);
  const summed = Array.from(entry.checksum === 'signed' ? signed : header);
  const sum = summed.reduce((a, b) => a + b, 0);
  put(148, `${(sum + (entry.checksum === 'wrong' ? 1 : 0)).toString(8).padStart(6, '0')}\0 `);
  put(512, body);
  return bytes;
}

/** One PAX record with its right length. */
export function paxRecord(key: string, value: string): string {
  const rest = utf8(` ${key}=${value}\n`).byteLength;
  const length = [1, 2, 3, 4, 5, 6].find((digits) => String(rest + digits).length === digits) ?? 0;
  return `${String(rest + length)} ${key}=${value}\n`;
}

export const END = new Uint8Array(1024);

/** Parts joined; strings as UTF-8. */
export function join(...parts: (Uint8Array | string)[]): Chunk {
  return new Uint8Array(Buffer.concat(parts.map((part) => (typeof part === 'string' ? utf8(part) : part))));
}

/** Entries and the end mark. */
export function tarOf(...entries: RawEntry[]): Chunk {
  return join(...entries.map(rawEntry), END);
}

/** The bytes in chunks of a size that fits no block. */
export async function* inChunks(bytes: Chunk, size = 700): AsyncGenerator<Chunk, void, undefined> {
  for (let at = 0; at < bytes.byteLength; at += size)
    yield await Promise.resolve(bytes.subarray(at, at + size));
}

/** Reads an archive whole: path to content. */
export async function readAll(
  bytes: Chunk,
  limits: TarLimits = { maxFileBytes: 2 ** 20, maxTotalBytes: 2 ** 21 },
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const file of readTar('t.tar', inChunks(bytes), limits)) {
    files.set(file.path, new TextDecoder().decode(await collect(file.content)));
  }
  return files;
}
