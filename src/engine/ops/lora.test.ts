import { expect } from 'vitest';
import { externalTensor } from '../gpu/plan.ts';
import { dropoutFactor, dropoutKey } from '../reference/dropout.ts';
import { gemmBackwardReference, gemmForwardReference } from '../reference/gemm.ts';
import { loraDownReference, loraGradientReference, loraUpBackwardReference } from '../reference/lora.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu, type GpuBench } from '../testing/gpu.ts';
import { packedWeight } from '../testing/weights.ts';
import { dropoutConstants, type AdapterSlot } from './lora.ts';
import { linearBackward, linearForward, type LinearContext } from './linear.ts';

useGpu();

interface Case {
  rows: number;
  inSize: number;
  out: number;
  rank: number;
  dropout: number;
}

/** A slot with padded factors, and the factors without padding. */
function makeSlot(
  bench: GpuBench,
  { inSize, out, rank, dropout }: Case,
): { slot: AdapterSlot; a: Float32Array; b: Float32Array } {
  const rank4 = Math.ceil(rank / 4);
  const a = randomValues(11, rank * inSize, 0.5);
  const b = randomValues(12, out * rank, 0.5);
  const outPadded = Math.ceil(out / 4) * 4;
  const grow = (
    label: string,
    values: Float32Array,
    rows: number,
    cols: number,
    toRows: number,
    toCols: number,
  ) => {
    const padded = new Float32Array(toRows * toCols);
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < cols; c++) padded[r * toCols + c] = values[r * cols + c] ?? 0;
    return externalTensor(label, bench.pool.createWith(label, padded), toRows, toCols);
  };
  const zero = new Float32Array(0);
  const slot: AdapterSlot = {
    index: 5,
    path: 'test',
    rank4,
    scale: 1.75,
    a: grow('a', a, rank, inSize, rank4 * 4, inSize),
    b: grow('b', b, out, rank, outPadded, rank4 * 4),
    gradA: grow('gradA', zero, 0, 0, rank4 * 4, inSize),
    gradB: grow('gradB', zero, 0, 0, outPadded, rank4 * 4),
    dropout: dropoutConstants(dropout),
  };
  return { slot, a, b };
}

const cases: Case[] = [
  { rows: 1, inSize: 4, out: 4, rank: 1, dropout: 0 },
  { rows: 37, inSize: 68, out: 132, rank: 3, dropout: 0 },
  { rows: 131, inSize: 36, out: 20, rank: 8, dropout: 0.25 },
  { rows: 300, inSize: 20, out: 68, rank: 12, dropout: 0.5 },
];

for (const shape of cases) {
  const { rows, inSize, out, rank, dropout } = shape;
  gpuTest(
    `adapted linear layer [${rows}, ${inSize}] to ${out}, rank ${rank}, dropout ${dropout}`,
    async (bench) => {
      const numbers = { tokens: rows, seed: 3, step: 7, micro: 1 };
      const x = randomValues(1, rows * inSize);
      const dy = randomValues(2, rows * out);
      const { weight, values } = packedWeight(bench.pool, 'w', randomValues(3, out * inSize), {
        out,
        in: inSize,
        dtype: 'BF16',
      });
      const { slot, a, b } = makeSlot(bench, shape);
      const spec = { role: 'q' as const, path: 'test', in: inSize, out, transposed: false };
      const layer = { spec, path: 'test', weight, bias: null };
      const ctx: LinearContext = { plan: bench.plan, pick: () => '8x2', slot: () => slot, training: true };
      const xRef = bench.matrix('x', rows, inSize, x);
      const { y, z } = linearForward(ctx, layer, xRef);
      const dx = bench.plan.tensor('dx', rows, inSize);
      linearBackward(ctx, layer, {
        dy: bench.matrix('dy', rows, out, dy),
        x: xRef,
        z,
        dx,
        accumulate: false,
      });
      const [gotY, gotDx, gradA, gradB] = await bench.run([y, dx, slot.gradA, slot.gradB], numbers);

      const key = dropoutKey(numbers.seed, numbers.step, numbers.micro, slot.index);
      const mask = Float64Array.from(x, (_, i) =>
        slot.dropout ? dropoutFactor(key, i, slot.dropout.threshold, slot.dropout.keepScale) : 1,
      );
      const dropped = Float64Array.from(x, (value, i) => value * (mask[i] ?? 0));
      const wantZ = loraDownReference(dropped, a, rows, inSize, rank);
      const up = gemmForwardReference(wantZ, b, rows, rank, out);
      const base = gemmForwardReference(x, values, rows, inSize, out);
      const tolerance = { absolute: 1e-4, relative: 2e-5 };
      expectClose(
        gotY ?? [],
        base.map((v, i) => v + slot.scale * (up[i] ?? 0)),
        tolerance,
      );
      const dz = loraUpBackwardReference(dy, b, rows, out, rank, slot.scale);
      const below = gemmBackwardReference(dz, a, rows, inSize, rank);
      const frozen = gemmBackwardReference(dy, values, rows, inSize, out);
      expectClose(
        gotDx ?? [],
        frozen.map((v, i) => v + (mask[i] ?? 0) * (below[i] ?? 0)),
        tolerance,
      );
      const wantA = loraGradientReference(dz, dropped, rows, rank, inSize, 1);
      const wantB = loraGradientReference(dy, wantZ, rows, out, rank, slot.scale);
      expectClose(gradA?.subarray(0, rank * inSize) ?? [], wantA, { absolute: 1e-3, relative: 1e-4 });
      const gotB = Float64Array.from(
        { length: out * rank },
        (_, i) => gradB?.[Math.floor(i / rank) * slot.rank4 * 4 + (i % rank)] ?? NaN,
      );
      expectClose(gotB, wantB, { absolute: 1e-3, relative: 1e-4 });
      // Padding stays zero, so that the optimizer never moves it.
      expect(gradA?.subarray(rank * inSize).every((value) => value === 0)).toBe(true);
      if (dropout > 0)
        expect(mask.filter((value) => value === 0).length / mask.length).toBeCloseTo(dropout, 1);
    },
  );
}
