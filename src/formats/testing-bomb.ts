/** Gzip bombs that are made while they are read: their own bytes are small, what they unpack to is not. */
import { constants, deflateRawSync } from 'node:zlib';
import type { ByteSource } from './bytes.ts';
import type { Chunk } from './streams.ts';
import { join } from './testing-tar.ts';

const ZEROS = 16 * 2 ** 20;
/** Deflate blocks that end on a byte and look at nothing before them, so that they can follow one another. */
const packedBlocks = (bytes: Uint8Array): Chunk =>
  new Uint8Array(deflateRawSync(bytes, { level: 9, finishFlush: constants.Z_FULL_FLUSH }));

/**
 * A gzip file of `start` and then `zeros` zero bytes (rounded up to 16 MiB), a thousandth of that in size. Its checksum
 * is left at 0: who gets that far has unpacked it all.
 */
export function bombSource(start: Uint8Array, zeros: number): ByteSource {
  const block = packedBlocks(new Uint8Array(ZEROS));
  const head = join(new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3]), packedBlocks(start));
  const blocks = Math.ceil(zeros / ZEROS);
  const tail = new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const tailStart = head.byteLength + blocks * block.byteLength;
  const size = tailStart + tail.byteLength;
  const byteAt = (at: number): number => {
    if (at < head.byteLength) return head[at] ?? 0;
    if (at >= tailStart) return tail[at - tailStart] ?? 0;
    return block[(at - head.byteLength) % block.byteLength] ?? 0;
  };
  return {
    name: 'bomb.tar.gz',
    size,
    read: (from, to) => Promise.resolve(Uint8Array.from({ length: to - from }, (_, i) => byteAt(from + i))),
  };
}
