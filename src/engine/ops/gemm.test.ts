import { expect } from 'vitest';
import { gemmBackwardReference, gemmForwardReference } from '../reference/gemm.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, testDevice, useGpu } from '../testing/gpu.ts';
import { packedWeight } from '../testing/weights.ts';
import { gemmBackward, gemmForward, variantsFor } from './gemm.ts';

useGpu();

// Sums of up to 260 products of values below 1 in float32.
const tolerance = { absolute: 2e-5, relative: 1e-5 };

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
        const refs = variants.flatMap((variant) => {
          const y = bench.plan.tensor('y', rows, out);
          const dx = bench.matrix('dx', rows, inSize, before);
          const inputs = {
            x: bench.matrix('x', rows, inSize, x),
            weight,
            bias: bench.matrix('b', 1, out, bias),
            residual: bench.matrix('r', rows, out, residual),
          };
          gemmForward(bench.plan, inputs, y, { variant });
          gemmBackward(bench.plan, { dy: bench.matrix('dy', rows, out, dy), weight, accumulate: true }, dx, {
            variant,
          });
          return [y, dx];
        });
        const results = await bench.run(refs, { tokens: rows });
        const y = gemmForwardReference(x, values, rows, inSize, out).map(
          (v, i) => v + (bias[i % out] ?? 0) + (residual[i] ?? 0),
        );
        const dx = gemmBackwardReference(dy, values, rows, inSize, out).map((v, i) => v + (before[i] ?? 0));
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
