/** Random access to bytes that live elsewhere: a Blob, a file on disk, a ranged download. No I/O here. */
import { StudioError } from '../errors.ts';

export interface ByteSource {
  /** File name, for messages. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** The bytes `[start, end)`; rejects when they cannot be read whole. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Parts as one run of bytes; a copy. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** A byte source over bytes in memory. */
export function bytesSource(name: string, bytes: Uint8Array<ArrayBuffer>): ByteSource {
  return { name, size: bytes.byteLength, read: (start, end) => Promise.resolve(bytes.subarray(start, end)) };
}

/** A byte source over a Blob or File; a file that was changed or moved since it was picked is refused by name. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    size: blob.size,
    read: async (start, end) => {
      try {
        return new Uint8Array(await blob.slice(start, end).arrayBuffer());
      } catch (cause) {
        throw new StudioError(
          {
            code: 'FILE_UNREADABLE',
            message: `${name} cannot be read any more; it may have been changed or moved.`,
            fix: 'Choose the file again.',
          },
          { cause },
        );
      }
    },
  };
}
