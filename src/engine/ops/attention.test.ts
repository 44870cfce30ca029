import { expect, test } from 'vitest';
import {
  attentionBackwardReference,
  attentionReference,
  visibleKeys,
  type AttentionShape,
} from '../reference/attention.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { relativeL2 } from '../testing/distance.ts';
import { centralDifferences } from '../testing/differences.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { attention, attentionBackward } from './attention.ts';

useGpu();

/** Segment starts and ends per token of sequences packed one behind another. */
function segments(lengths: readonly number[]): {
  segStart: Uint32Array<ArrayBuffer>;
  segEnd: Uint32Array<ArrayBuffer>;
} {
  const starts: number[] = [];
  const ends: number[] = [];
  for (const length of lengths) {
    const start = starts.length;
    for (let i = 0; i < length; i++) {
      starts.push(start);
      ends.push(start + length);
    }
  }
  return { segStart: Uint32Array.from(starts), segEnd: Uint32Array.from(ends) };
}

const CASES: {
  name: string;
  lengths: number[];
  heads: number;
  kvHeads: number;
  headDim: number;
  window: number | null;
  spread?: number;
}[] = [
  { name: 'one token', lengths: [1], heads: 1, kvHeads: 1, headDim: 4, window: null },
  {
    name: 'packed sequences, grouped heads',
    lengths: [5, 1, 13, 18],
    heads: 6,
    kvHeads: 2,
    headDim: 32,
    window: null,
  },
  { name: 'three heads to one key head', lengths: [33], heads: 9, kvHeads: 3, headDim: 64, window: null },
  { name: 'every head its own keys', lengths: [2, 21], heads: 5, kvHeads: 5, headDim: 20, window: null },
  { name: 'a sliding window', lengths: [29, 7, 3], heads: 4, kvHeads: 2, headDim: 12, window: 5 },
  { name: 'wide heads', lengths: [3, 6], heads: 2, kvHeads: 1, headDim: 256, window: null },
  { name: 'large scores', lengths: [19], heads: 2, kvHeads: 1, headDim: 16, window: null, spread: 60 },
];

/** Both kernels of each pass: rows loaded by every invocation, or shared in the subgroup. */
const VARIANTS = [false, true].map((subgroups) => ({
  subgroups,
  how: subgroups ? 'shared in the subgroup' : 'each for itself',
}));

for (const { subgroups, how, name, lengths, heads, kvHeads, headDim, window, spread = 1 } of CASES.flatMap(
  (entry) => VARIANTS.map((variant) => ({ ...entry, ...variant })),
)) {
  gpuTest(`attention forward and backward: ${name}, ${how}`, async (bench) => {
    const { segStart, segEnd } = segments(lengths);
    const rows = segStart.length;
    const shape = { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim), window, subgroups };
    const q = randomValues(1, rows * heads * headDim, spread);
    const k = randomValues(2, rows * kvHeads * headDim);
    const v = randomValues(3, rows * kvHeads * headDim);
    const dOut = randomValues(4, rows * heads * headDim);
    const inputs = {
      q: bench.matrix('q', rows, heads * headDim, q),
      k: bench.matrix('k', rows, kvHeads * headDim, k),
      v: bench.matrix('v', rows, kvHeads * headDim, v),
      dOut: bench.matrix('dOut', rows, heads * headDim, dOut),
      segStart: bench.words('segStart', segStart),
      segEnd: bench.words('segEnd', segEnd),
    };
    const { out, lse } = attention(bench.plan, inputs.q, inputs.k, inputs.v, inputs.segStart, shape);
    const { dq, dk, dv } = attentionBackward(bench.plan, { ...inputs, out, lse }, shape);
    const [gotOut = [], gotLse = [], gotDq = [], gotDk = [], gotDv = []] = await bench.run(
      [out, lse, dq, dk, dv],
      { tokens: rows },
    );
    const visible = visibleKeys(segStart, window);
    const want = attentionReference(q, k, v, visible, shape);
    const wantBack = attentionBackwardReference(dOut, q, k, v, visible, shape);
    // Scores of size s carry a rounding of s * 6e-8, and the gradients of q and k are as large as k and q.
    const tolerance = { absolute: 1e-5 * spread, relative: 1e-5 };
    expectClose(gotOut, want.out, tolerance);
    expectClose(gotLse, want.lse, tolerance);
    expectClose(gotDq, wantBack.dq, tolerance);
    expectClose(gotDk, wantBack.dk, tolerance);
    expectClose(gotDv, wantBack.dv, tolerance);
  });
}

for (const { subgroups, how } of VARIANTS) {
  gpuTest(`attention reads no rows past the used ones, ${how}`, async (bench) => {
    const [bucket, used] = [8, 5];
    const shape = { heads: 2, kvHeads: 1, headDim: 8, scale: 0.5, window: null, subgroups };
    const { segStart, segEnd } = segments([2, 3, 3]);
    const q = randomValues(5, bucket * 16);
    const k = randomValues(6, bucket * 8);
    const v = randomValues(7, bucket * 8);
    const dOut = randomValues(8, bucket * 16);
    const past = (values: Float32Array, cols: number): Float32Array =>
      values.map((value, i) => (i < used * cols ? value : NaN));
    const inputs = {
      q: bench.matrix('q', bucket, 16, past(q, 16)),
      k: bench.matrix('k', bucket, 8, past(k, 8)),
      v: bench.matrix('v', bucket, 8, past(v, 8)),
      dOut: bench.matrix('dOut', bucket, 16, past(dOut, 16)),
      segStart: bench.words('segStart', segStart),
      segEnd: bench.words('segEnd', segEnd),
    };
    const { out, lse } = attention(bench.plan, inputs.q, inputs.k, inputs.v, inputs.segStart, shape);
    const { dq, dk, dv } = attentionBackward(bench.plan, { ...inputs, out, lse }, shape);
    const got = await bench.run([out, dq, dk, dv], { tokens: used });
    const visible = visibleKeys(segStart.slice(0, used), null);
    const want = attentionReference(q, k, v, visible, shape);
    const wantBack = attentionBackwardReference(dOut, q, k, v, visible, shape);
    [want.out, wantBack.dq, wantBack.dk, wantBack.dv].forEach((values, i) => {
      const cols = i < 2 ? 16 : 8;
      expectClose(got[i]?.slice(0, used * cols) ?? [], values.slice(0, used * cols));
    });
  });
}

for (const { subgroups, how, rows, keyOffset, window } of [
  { rows: 1, keyOffset: 0, window: null },
  { rows: 1, keyOffset: 37, window: null },
  { rows: 7, keyOffset: 20, window: null },
  { rows: 3, keyOffset: 18, window: 4 },
].flatMap((entry) => VARIANTS.map((variant) => ({ ...entry, ...variant })))) {
  gpuTest(
    `attention over a cache: ${rows} rows behind ${keyOffset}, window ${window}, ${how}`,
    async (bench) => {
      const shape = { heads: 6, kvHeads: 2, headDim: 16, scale: 0.25, window, subgroups };
      const maxLen = 41;
      const q = randomValues(9, rows * 96);
      const k = randomValues(10, maxLen * 32);
      const v = randomValues(11, maxLen * 32);
      const { out } = attention(
        bench.plan,
        bench.matrix('q', rows, 96, q),
        bench.matrix('k', maxLen, 32, k),
        bench.matrix('v', maxLen, 32, v),
        bench.words('segStart', new Uint32Array(rows)),
        { ...shape, cached: true },
      );
      const [got = []] = await bench.run([out], { tokens: rows, keyOffset });
      const visible = visibleKeys(new Uint32Array(rows), window, keyOffset);
      expectClose(got, attentionReference(q, k, v, visible, shape).out);
    },
  );
}

test('the gradients of the reference agree with central differences', () => {
  const shape: AttentionShape = { heads: 2, kvHeads: 1, headDim: 4, scale: 0.7, window: 3 };
  const visible = visibleKeys(segments([2, 4]).segStart, shape.window);
  const q = randomValues(12, 6 * 8);
  const k = randomValues(13, 6 * 4);
  const v = randomValues(14, 6 * 4);
  const dOut = randomValues(15, 6 * 8);
  const { dq, dk, dv } = attentionBackwardReference(dOut, q, k, v, visible, shape);
  const byQ = centralDifferences((x) => attentionReference(x, k, v, visible, shape).out, q, dOut);
  const byK = centralDifferences((x) => attentionReference(q, x, v, visible, shape).out, k, dOut);
  const byV = centralDifferences((x) => attentionReference(q, k, x, visible, shape).out, v, dOut);
  expect(relativeL2(dq, byQ)).toBeLessThan(1e-8);
  expect(relativeL2(dk, byK)).toBeLessThan(1e-8);
  expect(relativeL2(dv, byV)).toBeLessThan(1e-8);
});
