/** An adapted layer for tests: random factors, padded as the flat buffers pad them. Tests only. */
import { externalTensor, type TensorRef } from '../gpu/plan.ts';
import { dropoutConstants, type AdapterSlot } from '../ops/lora.ts';
import { randomValues } from './compare.ts';
import type { GpuBench } from './gpu.ts';

export interface SlotShape {
  inSize: number;
  out: number;
  rank: number;
  dropout: number;
}

/** A slot with padded factors and zero gradients, and the factors without padding: A [rank, in], B [out, rank]. */
export function makeSlot(
  bench: GpuBench,
  { inSize, out, rank, dropout }: SlotShape,
): { slot: AdapterSlot; a: Float32Array<ArrayBuffer>; b: Float32Array<ArrayBuffer> } {
  const rank4 = Math.ceil(rank / 4);
  const outPadded = Math.ceil(out / 4) * 4;
  const a = randomValues(11, rank * inSize, 0.5);
  const b = randomValues(12, out * rank, 0.5);
  const padded = (
    label: string,
    [rows, cols]: readonly [number, number],
    values: Float32Array,
    valueCols: number,
  ): TensorRef => {
    const all = new Float32Array(rows * cols);
    values.forEach((value, i) => {
      all[Math.floor(i / valueCols) * cols + (i % valueCols)] = value;
    });
    return externalTensor(label, bench.pool.createWith(label, all), rows, cols);
  };
  const shapeA = [rank4 * 4, inSize] as const;
  const shapeB = [outPadded, rank4 * 4] as const;
  const none = new Float32Array(0);
  const slot: AdapterSlot = {
    index: 5,
    path: 'test',
    rank4,
    scale: 1.75,
    a: padded('a', shapeA, a, inSize),
    b: padded('b', shapeB, b, rank),
    gradA: padded('gradA', shapeA, none, 1),
    gradB: padded('gradB', shapeB, none, 1),
    dropout: dropoutConstants(dropout),
  };
  return { slot, a, b };
}

/** The values of a [out, rank] factor inside its padded form. */
export function withoutPadding(padded: ArrayLike<number>, out: number, rank: number): Float64Array {
  const stride = Math.ceil(rank / 4) * 4;
  return Float64Array.from(
    { length: out * rank },
    (_, i) => padded[Math.floor(i / rank) * stride + (i % rank)] ?? NaN,
  );
}
