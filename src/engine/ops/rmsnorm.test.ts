import { expect, test } from 'vitest';
import { rmsNormBackwardReference, rmsNormReference } from '../reference/rmsnorm.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { relativeL2 } from '../testing/distance.ts';
import { centralDifferences } from '../testing/differences.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { rmsNorm, rmsNormBackward } from './rmsnorm.ts';

useGpu();

const EPS = 1e-5;

for (const [rows, cols] of [
  [1, 1],
  [3, 65],
  [7, 127],
  [33, 64],
  [65, 260],
] as const) {
  gpuTest(`rmsNorm forward and backward [${rows}, ${cols}]`, async (bench) => {
    const count = rows * cols;
    const x = randomValues(1, count, 3);
    const weight = randomValues(2, cols);
    const dy = randomValues(3, count);
    const before = randomValues(4, count);
    const xRef = bench.matrix('x', rows, cols, x);
    const weightRef = bench.matrix('weight', 1, cols, weight);
    const dyRef = bench.matrix('dy', rows, cols, dy);
    const dx = bench.plan.tensor('dx', rows, cols);
    const sum = bench.matrix('sum', rows, cols, before);
    const { y, rstd } = rmsNorm(bench.plan, xRef, weightRef, EPS);
    rmsNormBackward(bench.plan, dyRef, xRef, weightRef, rstd, dx, { accumulate: false });
    rmsNormBackward(bench.plan, dyRef, xRef, weightRef, rstd, sum, { accumulate: true });
    const [gotY = [], gotRstd = [], gotDx = [], gotSum = []] = await bench.run([y, rstd, dx, sum], {
      tokens: rows,
    });
    const want = rmsNormReference(x, weight, EPS);
    const wantDx = rmsNormBackwardReference(dy, x, weight, EPS);
    expectClose(gotY, want.y);
    expectClose(gotRstd, want.rstd);
    expectClose(gotDx, wantDx);
    expectClose(
      gotSum,
      wantDx.map((value, i) => value + (before[i] ?? 0)),
    );
  });
}

for (const rowsFrom of ['tokens', 'head'] as const) {
  gpuTest(`rmsNorm per head, limited by ${rowsFrom}, leaves the other rows alone`, async (bench) => {
    const [used, heads, cols] = [2, 3, 8];
    const rows = 4 * heads;
    const x = randomValues(5, rows * cols);
    const weight = randomValues(6, cols);
    const before = randomValues(7, rows * cols);
    const options = { rowsPerToken: heads, rowsFrom };
    const xRef = bench.matrix('x', rows, cols, x);
    const weightRef = bench.matrix('weight', 1, cols, weight);
    const dx = bench.matrix('dx', rows, cols, before);
    const { y, rstd } = rmsNorm(bench.plan, xRef, weightRef, EPS, options);
    rmsNormBackward(bench.plan, xRef, xRef, weightRef, rstd, dx, { accumulate: false }, options);
    const numbers = rowsFrom === 'head' ? { tokens: 1, headRows: used } : { tokens: used, headRows: 1 };
    const [gotY = [], gotDx = []] = await bench.run([y, dx], numbers);
    const active = used * heads * cols;
    expectClose(gotY.slice(0, active), rmsNormReference(x, weight, EPS).y.slice(0, active));
    expectClose(gotDx.slice(0, active), rmsNormBackwardReference(x, x, weight, EPS).slice(0, active));
    expectClose(gotDx.slice(active), before.slice(active), { absolute: 0, relative: 0 });
  });
}

test('the gradient of the reference agrees with central differences', () => {
  const x = randomValues(8, 2 * 5);
  const weight = randomValues(9, 5);
  const dy = randomValues(10, 2 * 5);
  const want = centralDifferences((probe) => rmsNormReference(probe, weight, EPS).y, x, dy);
  expect(relativeL2(rmsNormBackwardReference(dy, x, weight, EPS), want)).toBeLessThan(1e-8);
});
