/** Damage to files, for property tests: what disks, downloads and enemies do. */
import fc from 'fast-check';
import { StudioError } from '../errors.ts';
import type { Chunk } from './streams.ts';
import { join } from './testing-tar.ts';

/** A place is given as a part of the file, so that one fault fits files of every size. */
export interface Fault {
  kind: 'flip' | 'cut' | 'insert' | 'remove' | 'zero' | 'copy';
  /** From 0 to below 1. */
  at: number;
  other: number;
  byte: number;
  length: number;
}

export const fault: fc.Arbitrary<Fault> = fc.record({
  kind: fc.constantFrom('flip', 'flip', 'flip', 'cut', 'insert', 'remove', 'zero', 'copy'),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  other: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  byte: fc.nat(255),
  length: fc.constantFrom(1, 1, 8, 512),
});

/** A copy with the fault: a flipped bit, a cut, bytes put in, taken out or zeroed, or one piece in the place of another. */
export function damaged(bytes: Chunk, { kind, at, other, byte, length }: Fault): Chunk {
  const place = Math.floor(at * bytes.byteLength);
  if (kind === 'cut') return bytes.slice(0, place);
  if (kind === 'insert') {
    return join(bytes.subarray(0, place), new Uint8Array(length).fill(byte), bytes.subarray(place));
  }
  if (kind === 'remove') return join(bytes.subarray(0, place), bytes.subarray(place + length));
  const copy = bytes.slice();
  if (kind === 'flip') copy[place] = (copy[place] ?? 0) ^ (1 << (byte % 8));
  else if (kind === 'zero') copy.fill(0, place, place + length);
  else {
    const from = Math.floor(other * bytes.byteLength);
    copy.set(bytes.subarray(from, from + Math.min(length, bytes.byteLength - place)), place);
  }
  return copy;
}

/** What an action gives, or the code of its StudioError; any other error is a failure of the test. */
export async function resultOf<T>(action: () => Promise<T>): Promise<T | string> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof StudioError) return error.code;
    throw error;
  }
}
