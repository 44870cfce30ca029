import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { appendToCache } from './cache.ts';

useGpu();

gpuTest('appendToCache puts the rows in use behind those that are there', async (bench) => {
  const [bucket, used, cols, maxLen, keyOffset] = [5, 3, 20, 11, 7];
  const x = randomValues(1, bucket * cols);
  const before = randomValues(2, maxLen * cols);
  const cache = bench.matrix('cache', maxLen, cols, before);
  appendToCache(bench.plan, bench.matrix('x', bucket, cols, x), cache);
  const [got = []] = await bench.run([cache], { tokens: used, keyOffset });
  const want = Float32Array.from(before);
  want.set(x.subarray(0, used * cols), keyOffset * cols);
  expectClose(got, want, { absolute: 0, relative: 0 });
});
