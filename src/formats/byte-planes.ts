/**
 * State blobs for the store: the bytes of float32 values by place (all first bytes, all second bytes, ...), then gzip.
 * Exponents end up next to each other, which is what gzip can use; 14 to 25 % on weights and moments.
 */
import { StudioError } from '../errors.ts';
import { inPieces } from './file-entry.ts';
import { gunzip, gzip } from './gzip.ts';
import { fromStream, type Chunk, type Chunks } from './streams.ts';

export const BYTE_PLANE_ENCODING = 'byteplane+gzip';

/** Bytes of a float32. */
const WIDTH = 4;

/** A blob as the store keeps it. */
export interface StoredBlob {
  encoding: string;
  size: number;
  chunks(): Iterable<Chunk>;
}

/** Orders bytes by their place within each value of four; the odd bytes at the end stay where they are. */
export function splitPlanes(bytes: Uint8Array): Chunk {
  const count = Math.floor(bytes.byteLength / WIDTH);
  const planes = new Uint8Array(bytes.byteLength);
  for (let plane = 0; plane < WIDTH; plane++) {
    const start = plane * count;
    for (let i = 0; i < count; i++) planes[start + i] = bytes[i * WIDTH + plane] ?? 0;
  }
  planes.set(bytes.subarray(count * WIDTH), count * WIDTH);
  return planes;
}

/** Puts the bytes of `splitPlanes` back into their values. */
export function joinPlanes(planes: Uint8Array): Chunk {
  const count = Math.floor(planes.byteLength / WIDTH);
  const bytes = new Uint8Array(planes.byteLength);
  for (let plane = 0; plane < WIDTH; plane++) {
    const start = plane * count;
    for (let i = 0; i < count; i++) bytes[i * WIDTH + plane] = planes[start + i] ?? 0;
  }
  bytes.set(planes.subarray(count * WIDTH), count * WIDTH);
  return bytes;
}

/** All chunks as one array of a known size; null when there are more or fewer bytes. */
export async function collectSize(chunks: Chunks, size: number): Promise<Chunk | null> {
  const all = new Uint8Array(size);
  let at = 0;
  for await (const chunk of chunks) {
    if (at + chunk.byteLength > size) return null;
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return at === size ? all : null;
}

/** Bytes as planes, compressed. */
export async function packPlanes(bytes: Uint8Array, encoding = BYTE_PLANE_ENCODING): Promise<StoredBlob> {
  const parts: Chunk[] = [];
  for await (const chunk of fromStream(gzip(inPieces(splitPlanes(bytes))))) parts.push(chunk);
  const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return { encoding, size, chunks: () => parts };
}

async function* asAsync(chunks: Chunks): AsyncGenerator<Chunk, void, undefined> {
  yield* chunks;
}

/** The `size` bytes that `packPlanes` was given; never more memory than that, whatever the blob unpacks to. */
export async function unpackPlanes(name: string, size: number, stored: Chunks): Promise<Chunk> {
  const planes = await collectSize(gunzip(name, asAsync(stored), size), size);
  if (planes !== null) return joinPlanes(planes);
  throw new StudioError({
    code: 'GZIP_INVALID',
    message: `${name} does not unpack to ${String(size)} bytes.`,
    fix: 'The stored file is damaged. Use another checkpoint of the run.',
  });
}
