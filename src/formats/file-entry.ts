/** A file that can be produced: its path and size are known before its bytes. */

export interface FileEntry {
  /** Relative, with `/` between folders. */
  readonly path: string;
  readonly size: number;
  /** The bytes from the start; can be asked for more than once and gives the same each time. */
  chunks(): Iterable<Uint8Array<ArrayBuffer>> | AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** Large buffers are handed on in pieces of this size, so that no consumer takes a second copy of a tensor. */
export const CHUNK_BYTES = 2 ** 20;

/** The bytes in pieces of at most `CHUNK_BYTES`, as views. */
export function* inPieces(bytes: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

/** An entry over bytes in memory. */
export function bytesEntry(path: string, bytes: Uint8Array<ArrayBuffer>): FileEntry {
  return { path, size: bytes.byteLength, chunks: () => inPieces(bytes) };
}

/** An entry with a text as UTF-8. */
export function textEntry(path: string, text: string): FileEntry {
  return bytesEntry(path, new TextEncoder().encode(text));
}

/** Orders strings by their UTF-8 bytes, as Rust and tar tools do. */
export function compareBytes(a: string, b: string): number {
  const left = Array.from(a, (c) => c.codePointAt(0) ?? 0);
  const right = Array.from(b, (c) => c.codePointAt(0) ?? 0);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
