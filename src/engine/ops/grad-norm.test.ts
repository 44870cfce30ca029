import { expect, test } from 'vitest';
import { externalWords } from '../gpu/plan.ts';
import { gradNormReference } from '../reference/grad-norm.ts';
import { randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu, type GpuBench } from '../testing/gpu.ts';
import { flatParts } from './flat.ts';
import { gradNorm } from './grad-norm.ts';

useGpu();

/** Sums of squares in float32, in a tree: a few roundings, whatever the count. */
const RELATIVE = 2e-6;

async function normOf(
  bench: GpuBench,
  values: Float32Array<ArrayBuffer>,
  largestBinding?: number,
): Promise<number> {
  const grads = externalWords('grads', bench.pool.createWith('grads', values), values.length);
  const [norm] = await bench.run([gradNorm(bench.plan, grads, values.length, largestBinding)], {});
  return norm?.[0] ?? NaN;
}

for (const floats of [1, 63, 2048, 2049, 70_003, 600_011]) {
  gpuTest(`the norm of ${floats} gradients`, async (bench) => {
    const values = randomValues(floats, floats);
    const want = gradNormReference(values);
    expect(Math.abs((await normOf(bench, values)) / want - 1)).toBeLessThan(RELATIVE);
  });
}

gpuTest('the norm is the same to the bit when the buffer is cut into parts', async (bench) => {
  const values = randomValues(1, 70_004);
  const whole = await normOf(bench, values);
  expect(await normOf(bench, values, 3 * 2048 * 4 + 100)).toBe(whole);
});

for (const scale of [1e-30, 1e-15, 1e15, 1e30]) {
  gpuTest(`gradients around ${scale} neither overflow nor vanish`, async (bench) => {
    const values = randomValues(2, 5003, scale);
    // Whole workgroups of far smaller values, so that the partial sums have unlike scales.
    values.fill(scale * 1e-5, 2048, 4096);
    const want = gradNormReference(values);
    expect(Math.abs((await normOf(bench, values)) / want - 1)).toBeLessThan(RELATIVE);
  });
}

gpuTest('no gradient at all has the norm 0', async (bench) => {
  expect(await normOf(bench, new Float32Array(300))).toBe(0);
});

for (const bad of [NaN, Infinity, -Infinity]) {
  for (const place of [0, 2999, 4096]) {
    gpuTest(`a gradient of ${bad} at ${place} makes the norm infinite`, async (bench) => {
      const values = randomValues(3, 4097);
      values[place] = bad;
      expect(gradNormReference(values)).toBe(Infinity);
      expect(await normOf(bench, values)).toBe(Infinity);
    });
  }
}

test('parts cover everything once and begin on whole workgroups', () => {
  const parts = flatParts(10_000, 2 * 2048 * 4 + 4);
  expect(parts).toEqual([
    { first: 0, floats: 4096 },
    { first: 4096, floats: 4096 },
    { first: 8192, floats: 1808 },
  ]);
  expect(() => flatParts(10, 100)).toThrow('100 bytes');
});
