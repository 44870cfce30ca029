import { expect } from 'vitest';
import { gemmBackwardReference, gemmForwardReference } from '../reference/gemm.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, testDevice, useGpu } from '../testing/gpu.ts';
import { makeSlot } from '../testing/slots.ts';
import { packedWeight } from '../testing/weights.ts';
import { gemmBackward, gemmForward, variantsFor } from './gemm.ts';

useGpu();

// Sums of up to 260 products of values below 1 in float32.
const tolerance = { absolute: 2e-5, relative: 1e-5 };
const RANK = 6;

for (const dtype of ['BF16', 'F16', 'F32'] as const) {
  for (const [rows, inSize, out, parts] of [
    [1, 4, 4, 1],
    [33, 68, 132, 1],
    [7, 260, 203, 3],
  ] as const) {
    gpuTest(
      `products with ${dtype} weights [${rows}, ${inSize}] x [${out}] in ${parts} part(s), all variants alike`,
      async (bench) => {
        // Compiling the wide variants takes seconds on a software adapter; how a dtype is unpacked is the same in all.
        const all = variantsFor(testDevice());
        const variants = dtype === 'BF16' ? all : all.filter((name) => /^(16x1|8x2|naive)$/.test(name));
        const x = randomValues(1, rows * inSize);
        const dy = randomValues(2, rows * out);
        const bias = randomValues(3, out);
        const residual = randomValues(4, rows * out);
        const matrix = randomValues(5, out * inSize);
        const { weight, values } = packedWeight(bench.pool, 'w', matrix, { out, in: inSize, dtype, parts });
        const before = randomValues(6, rows * inSize);
        const { slot, a, b } = makeSlot(bench, { inSize, out, rank: RANK, dropout: 0 });
        const z = randomValues(7, rows * RANK);
        const dz = randomValues(8, rows * RANK);
        const rowScale = randomValues(9, rows * 4);
        const refs = variants.flatMap((variant) => {
          const y = bench.plan.tensor('y', rows, out);
          const dx = bench.matrix('dx', rows, inSize, before);
          const inputs = {
            x: bench.matrix('x', rows, inSize, x),
            weight,
            bias: bench.matrix('b', 1, out, bias),
            residual: bench.matrix('r', rows, out, residual),
            lora: { slot, z: bench.matrix('z', rows, RANK, z) },
          };
          gemmForward(bench.plan, inputs, y, { variant });
          const gradient = {
            dy: bench.matrix('dy', rows, out, dy),
            weight,
            lora: { slot, dz: bench.matrix('dz', rows, RANK, dz) },
            accumulate: true,
            rowScale: bench.matrix('s', rows, 4, rowScale),
          };
          gemmBackward(bench.plan, gradient, dx, { variant });
          return [y, dx];
        });
        const results = await bench.run(refs, { tokens: rows });
        const up = gemmForwardReference(z, b, rows, RANK, out);
        const y = gemmForwardReference(x, values, rows, inSize, out).map(
          (v, i) => v + (bias[i % out] ?? 0) + (residual[i] ?? 0) + slot.scale * (up[i] ?? 0),
        );
        const down = gemmBackwardReference(dz, a, rows, inSize, RANK);
        const dx = gemmBackwardReference(dy, values, rows, inSize, out).map(
          (v, i) => v + (before[i] ?? 0) * (rowScale[Math.floor(i / inSize) * 4 + 3] ?? 0) + (down[i] ?? 0),
        );
        expectClose(results[0] ?? [], y, tolerance);
        expectClose(results[1] ?? [], dx, tolerance);
        for (let i = 2; i < results.length; i++) expect(results[i], variants[i >> 1]).toEqual(results[i % 2]);
      },
    );
  }
}

gpuTest('half-precision weights keep their subnormals', async (bench) => {
  const matrix = Float32Array.of(2 ** -24, -(2 ** -15), 3 * 2 ** -24, 1);
  const { weight, values } = packedWeight(bench.pool, 'w', matrix, { out: 1, in: 4, dtype: 'F16' });
  expect([...values]).toEqual([...matrix]);
  const x = bench.matrix('x', 1, 4, [2 ** 24, 2 ** 15, 2 ** 24, 0]);
  const y = bench.plan.tensor('y', 1, 1);
  gemmForward(bench.plan, { x, weight }, y, { variant: 'naive' });
  const [got] = await bench.run([y], { tokens: 1 });
  expect(got?.[0]).toBe(1 - 1 + 3);
});
