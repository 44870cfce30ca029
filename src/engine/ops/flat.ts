/** Passes over a whole flat buffer, cut where one binding cannot hold it. */
import { externalWords, type TensorRef } from '../gpu/plan.ts';

/** Parts begin at multiples of this: the floats of one workgroup of grad-norm.wgsl, and whole binding alignments. */
export const FLAT_ALIGN = 2048;

export interface FlatPart {
  first: number;
  floats: number;
}

/** Cuts `floats` values into parts of at most `largestBytes`. */
export function flatParts(floats: number, largestBytes: number): FlatPart[] {
  const perPart = Math.floor(largestBytes / 4 / FLAT_ALIGN) * FLAT_ALIGN;
  if (perPart < 1) throw new Error(`flatParts: ${largestBytes} bytes hold less than ${FLAT_ALIGN} floats.`);
  const parts: FlatPart[] = [];
  for (let first = 0; first < floats; first += perPart) {
    parts.push({ first, floats: Math.min(perPart, floats - first) });
  }
  return parts;
}

/** The part of a tensor that lies in a buffer of its own. */
export function flatSlice(ref: TensorRef, { first, floats }: FlatPart): TensorRef {
  if (!('buffer' in ref.place)) throw new Error(`${ref.label} is not in a buffer of its own.`);
  return externalWords(ref.label, ref.place.buffer, floats, ref.place.offset + first * 4);
}
