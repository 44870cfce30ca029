import { expect, test } from 'vitest';
import { geluBackwardReference, geluReference } from '../reference/gelu.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { relativeL2 } from '../testing/distance.ts';
import { centralDifferences } from '../testing/differences.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { gelu, geluBackward } from './gelu.ts';

useGpu();

for (const [rows, cols] of [
  [1, 1],
  [3, 65],
  [7, 131],
] as const) {
  gpuTest(`gelu forward and backward [${rows}, ${cols}]`, async (bench) => {
    const x = randomValues(1, rows * cols, 8);
    const dy = randomValues(2, rows * cols);
    const xRef = bench.matrix('x', rows, cols, x);
    const y = gelu(bench.plan, xRef);
    geluBackward(bench.plan, bench.matrix('dy', rows, cols, dy), xRef);
    const [gotY = [], gotDx = []] = await bench.run([y, xRef], { tokens: rows });
    expectClose(gotY, geluReference(x));
    expectClose(gotDx, geluBackwardReference(dy, x));
  });
}

gpuTest('gelu of very large values is finite, and rows past the used ones stay', async (bench) => {
  const x = Float32Array.of(1e30, -1e30, 90, -90, 5, 6, 7, 8);
  const dy = Float32Array.of(1, 1, 2, 2, 3, 3, 3, 3);
  const xRef = bench.matrix('x', 2, 4, x);
  const y = gelu(bench.plan, xRef);
  geluBackward(bench.plan, bench.matrix('dy', 2, 4, dy), xRef);
  const [gotY = [], gotDx = []] = await bench.run([y, xRef], { tokens: 1 });
  expectClose(gotY.slice(0, 4), [1e30, 0, 90, 0]);
  expectClose(gotDx, [1, 0, 2, 0, 5, 6, 7, 8]);
});

test('the gradient of the reference agrees with central differences', () => {
  const x = randomValues(3, 12, 3);
  const dy = randomValues(4, 12);
  const want = centralDifferences(geluReference, x, dy);
  expect(relativeL2(geluBackwardReference(dy, x), want)).toBeLessThan(1e-8);
});
