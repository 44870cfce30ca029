import { expect } from 'vitest';
import { dropoutFactor, dropoutKey } from '../reference/dropout.ts';
import { gemmBackwardReference, gemmForwardReference } from '../reference/gemm.ts';
import { loraDownReference, loraGradientReference, loraUpBackwardReference } from '../reference/lora.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { makeSlot, withoutPadding, type SlotShape } from '../testing/slots.ts';
import { packedWeight } from '../testing/weights.ts';
import { linearBackward, linearForward, type LinearContext } from './linear.ts';

useGpu();

interface Case extends SlotShape {
  rows: number;
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
      expectClose(withoutPadding(gradB ?? [], out, rank), wantB, { absolute: 1e-3, relative: 1e-4 });
      // Padding stays zero, so that the optimizer never moves it.
      expect(gradA?.subarray(rank * inSize).every((value) => value === 0)).toBe(true);
      if (dropout > 0)
        expect(mask.filter((value) => value === 0).length / mask.length).toBeCloseTo(dropout, 1);
    },
  );
}
