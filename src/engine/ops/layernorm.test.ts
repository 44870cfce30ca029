import { expect, test } from 'vitest';
import { layerNormBackwardReference, layerNormReference } from '../reference/layernorm.ts';
import { rmsNormReference } from '../reference/rmsnorm.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { relativeL2 } from '../testing/distance.ts';
import { centralDifferences } from '../testing/differences.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { layerNorm, layerNormBackward } from './layernorm.ts';
import { rmsNorm } from './rmsnorm.ts';

useGpu();

const EPS = 1e-5;

for (const [rows, cols] of [
  [1, 1],
  [3, 65],
  [7, 127],
  [33, 64],
] as const) {
  gpuTest(`layerNorm forward and backward [${rows}, ${cols}]`, async (bench) => {
    const count = rows * cols;
    // Far from zero, where a variance taken as a difference of squares would lose its digits.
    const x = randomValues(1, count, 3).map((value) => value + 40);
    const weight = randomValues(2, cols);
    const bias = randomValues(3, cols);
    const dy = randomValues(4, count);
    const before = randomValues(5, count);
    const xRef = bench.matrix('x', rows, cols, x);
    const weightRef = bench.matrix('weight', 1, cols, weight);
    const dyRef = bench.matrix('dy', rows, cols, dy);
    const dx = bench.plan.tensor('dx', rows, cols);
    const sum = bench.matrix('sum', rows, cols, before);
    const { y, mean, rstd } = layerNorm(
      bench.plan,
      xRef,
      weightRef,
      bench.matrix('bias', 1, cols, bias),
      EPS,
    );
    layerNormBackward(bench.plan, dyRef, xRef, weightRef, mean, rstd, dx, { accumulate: false });
    layerNormBackward(bench.plan, dyRef, xRef, weightRef, mean, rstd, sum, { accumulate: true });
    const [gotY = [], gotMean = [], gotDx = [], gotSum = []] = await bench.run([y, mean, dx, sum], {
      tokens: rows,
    });
    const want = layerNormReference(x, weight, bias, EPS);
    const wantDx = layerNormBackwardReference(dy, x, weight, EPS);
    // Values near 40 carry a rounding of 4e-6; a row of one column divides it by sqrt(eps).
    const tolerance = { absolute: cols === 1 ? 2e-3 : 2e-5, relative: 1e-5 };
    expectClose(gotMean, want.mean);
    expectClose(gotY, want.y, tolerance);
    expectClose(gotDx, wantDx, tolerance);
    expectClose(
      gotSum,
      wantDx.map((value, i) => value + (before[i] ?? 0)),
      tolerance,
    );
  });
}

gpuTest('layerNorm keeps the padding columns zero, forward and backward', async (bench) => {
  const [rows, cols] = [2, 5];
  const x = randomValues(6, rows * cols);
  const weight = randomValues(7, cols);
  const xRef = bench.matrix('x', rows, cols, x);
  const weightRef = bench.matrix('weight', 1, cols, weight);
  const { y, mean, rstd } = layerNorm(bench.plan, xRef, weightRef, weightRef, EPS);
  const dx = bench.plan.tensor('dx', rows, cols);
  layerNormBackward(bench.plan, xRef, xRef, weightRef, mean, rstd, dx, { accumulate: false });
  // RMSNorm sums whole vec4s, so anything in the padding would show in its rstd.
  const ones = new Float32Array(cols).fill(1);
  const onesRef = bench.matrix('ones', 1, cols, ones);
  const normY = rmsNorm(bench.plan, y, onesRef, EPS);
  const normDx = rmsNorm(bench.plan, dx, onesRef, EPS);
  const [gotY = [], gotDx = []] = await bench.run([normY.rstd, normDx.rstd], { tokens: rows });
  const wantY = layerNormReference(x, weight, weight, EPS).y;
  const wantDx = layerNormBackwardReference(x, x, weight, EPS);
  expectClose(gotY, rmsNormReference(wantY, ones, EPS).rstd);
  expectClose(gotDx, rmsNormReference(wantDx, ones, EPS).rstd, { relative: 1e-4 });
});

gpuTest('layerNorm limited by the head rows leaves the other rows alone', async (bench) => {
  const [rows, used, cols] = [5, 2, 8];
  const x = randomValues(8, rows * cols);
  const weight = randomValues(9, cols);
  const before = randomValues(10, rows * cols);
  const xRef = bench.matrix('x', rows, cols, x);
  const weightRef = bench.matrix('weight', 1, cols, weight);
  const dx = bench.matrix('dx', rows, cols, before);
  const options = { rowsFrom: 'head' } as const;
  const { y, mean, rstd } = layerNorm(bench.plan, xRef, weightRef, weightRef, EPS, options);
  layerNormBackward(bench.plan, xRef, xRef, weightRef, mean, rstd, dx, { accumulate: false }, options);
  const [gotY = [], gotDx = []] = await bench.run([y, dx], { tokens: 1, headRows: used });
  const active = used * cols;
  expectClose(gotY.slice(0, active), layerNormReference(x, weight, weight, EPS).y.slice(0, active));
  expectClose(gotDx.slice(0, active), layerNormBackwardReference(x, x, weight, EPS).slice(0, active));
  expectClose(gotDx.slice(active), before.slice(active), { absolute: 0, relative: 0 });
});

test('the gradient of the reference agrees with central differences', () => {
  const x = randomValues(11, 2 * 5);
  const weight = randomValues(12, 5);
  const bias = randomValues(13, 5);
  const dy = randomValues(14, 2 * 5);
  const want = centralDifferences((probe) => layerNormReference(probe, weight, bias, EPS).y, x, dy);
  expect(relativeL2(layerNormBackwardReference(dy, x, weight, EPS), want)).toBeLessThan(1e-7);
});
