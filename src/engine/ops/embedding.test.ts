import { expect } from 'vitest';
import { embeddingReference } from '../reference/embedding.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { packedWeight } from '../testing/weights.ts';
import { embedding } from './embedding.ts';

useGpu();

const exact = { absolute: 0, relative: 0 };

for (const dtype of ['BF16', 'F16', 'F32'] as const) {
  for (const [vocab, hidden, parts] of [
    [1, 4, 1],
    [203, 36, 1],
    [203, 36, 3],
  ] as const) {
    gpuTest(`embedding of ${vocab} ids by ${hidden} in ${dtype}, ${parts} part(s)`, async (bench) => {
      // The first and the last row of every part, and one in the middle.
      const ids = [0, 67, 68, 135, 136, 101, 202].map((id) => Math.min(id, vocab - 1));
      const { weight, values } = packedWeight(bench.pool, 'wte', randomValues(1, vocab * hidden), {
        out: vocab,
        in: hidden,
        dtype,
        parts,
      });
      expect(weight.parts.map(({ firstOut }) => firstOut)).toEqual(parts === 3 ? [0, 68, 136] : [0]);
      const idsRef = bench.words('ids', Uint32Array.from(ids));
      const out = bench.plan.tensor('x', ids.length, hidden);
      embedding(bench.plan, idsRef, weight, out);
      const before = randomValues(2, ids.length * hidden);
      const sum = bench.matrix('sum', ids.length, hidden, before);
      embedding(bench.plan, idsRef, weight, sum, true);
      const [gotOut, gotSum] = await bench.run([out, sum], { tokens: ids.length });
      const want = embeddingReference(ids, values, hidden);
      expectClose(gotOut ?? [], want, exact);
      expectClose(
        gotSum ?? [],
        want.map((value, i) => Math.fround(value + (before[i] ?? 0))),
        exact,
      );
    });
  }
}

gpuTest('embedding leaves rows past the used ones alone', async (bench) => {
  const { weight, values } = packedWeight(bench.pool, 'wte', randomValues(1, 5 * 8), {
    out: 5,
    in: 8,
    dtype: 'F32',
  });
  const before = randomValues(2, 3 * 8);
  const out = bench.matrix('x', 3, 8, before);
  embedding(bench.plan, bench.words('ids', Uint32Array.of(4, 1, 2)), weight, out);
  const [got = []] = await bench.run([out], { tokens: 2 });
  const want = [...embeddingReference([4, 1], values, 8), ...before.subarray(16)];
  expectClose(got, want, exact);
});

gpuTest('embedding refuses an output of another width', async (bench) => {
  const { weight } = packedWeight(bench.pool, 'wte', randomValues(1, 40), { out: 5, in: 8, dtype: 'F32' });
  const ids = bench.words('ids', Uint32Array.of(0));
  expect(() => embedding(bench.plan, ids, weight, bench.plan.tensor('x', 1, 12))).toThrow('8 columns');
});
