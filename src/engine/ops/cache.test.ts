import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { appendToCache, spreadPrompt } from './cache.ts';

useGpu();

gpuTest('appendToCache puts each row in use where it is told', async (bench) => {
  const [bucket, used, cols, maxLen] = [5, 3, 20, 11];
  const places = [7, 2, 10];
  const x = randomValues(1, bucket * cols);
  const before = randomValues(2, maxLen * cols);
  const cache = bench.matrix('cache', maxLen, cols, before);
  const rows = bench.words('rows', Uint32Array.from([...places, 0, 0]));
  appendToCache(bench.plan, bench.matrix('x', bucket, cols, x), rows, cache);
  const [got = []] = await bench.run([cache], { tokens: used });
  const want = Float32Array.from(before);
  places.forEach((place, row) => want.set(x.subarray(row * cols, (row + 1) * cols), place * cols));
  expectClose(got, want, { absolute: 0, relative: 0 });
});

gpuTest('spreadPrompt gives the rows of a text to those behind it, and no others', async (bench) => {
  const [texts, maxLen, cols, prompt, wanted] = [5, 5, 12, 3, 3];
  const before = randomValues(3, texts * maxLen * cols);
  const cache = bench.matrix('cache', texts * maxLen, cols, before);
  spreadPrompt(bench.plan, cache, maxLen);
  const [got = []] = await bench.run([cache], { tokens: prompt, headRows: wanted, keyOffset: maxLen });
  const want = Float32Array.from(before);
  const source = before.subarray(maxLen * cols, (maxLen + prompt) * cols);
  for (const text of [2, 3]) want.set(source, text * maxLen * cols);
  expectClose(got, want, { absolute: 0, relative: 0 });
});
