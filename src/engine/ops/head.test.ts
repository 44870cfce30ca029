import { expect, test } from 'vitest';
import { gemmBackwardReference, gemmForwardReference } from '../reference/gemm.ts';
import {
  gatherRowsReference,
  headLogitGradientReference,
  headLogprobReference,
  scatterRowsReference,
} from '../reference/head.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { relativeL2 } from '../testing/distance.ts';
import { centralDifferences } from '../testing/differences.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { packedWeight } from '../testing/weights.ts';
import {
  gatherRows,
  headForward,
  headGradient,
  scatterRows,
  vocabularyTiles,
  type HeadInputs,
} from './head.ts';

useGpu();

const hidden = 20;
const cases = [
  { vocab: 5, rows: 1, used: 1, dtype: 'F32', parts: 1, scale: 1 },
  { vocab: 203, rows: 5, used: 5, dtype: 'BF16', parts: 1, scale: 1 },
  { vocab: 203, rows: 5, used: 3, dtype: 'F16', parts: 3, scale: 1 },
  { vocab: 4100, rows: 37, used: 33, dtype: 'BF16', parts: 2, scale: 1 },
  // Three tiles, and logits up to some hundreds: the running maximum has to hold.
  { vocab: 8300, rows: 3, used: 3, dtype: 'F32', parts: 3, scale: 60 },
] as const;

for (const { vocab, rows, used, dtype, parts, scale } of cases) {
  gpuTest(
    `head over ${vocab} ${dtype} outputs in ${parts} part(s), ${used} of ${rows} rows, inputs up to ${scale}`,
    async (bench) => {
      const h = randomValues(1, rows * hidden, scale);
      const { weight, values } = packedWeight(bench.pool, 'head', randomValues(2, vocab * hidden), {
        out: vocab,
        in: hidden,
        dtype,
        parts,
      });
      expect(weight.parts).toHaveLength(parts);
      // The last output, the first of each part and the one before it, and others.
      const edges = weight.parts
        .flatMap(({ firstOut }) => [Math.max(0, firstOut - 1), firstOut])
        .toReversed();
      const targets = Uint32Array.from(
        { length: rows },
        (_, row) => [vocab - 1, ...edges][row] ?? (row * 97) % vocab,
      );
      // Weights of a mean over the rows, as cross-entropy has them: c = -w.
      const coefficient = randomValues(3, rows).map((value) => (-1 - value / 2) / rows);
      const inputs: HeadInputs = {
        h: bench.matrix('h', rows, hidden, h),
        weight,
        targets: bench.words('targets', targets),
        lora: null,
        pick: () => 'naive',
      };
      const alone = headForward(bench.plan, inputs, false);
      const output = headForward(bench.plan, inputs, true);
      const dh = headGradient(bench.plan, inputs, output, bench.matrix('coefficient', 1, rows, coefficient));
      const [gotAlone, got, gotDh] = await bench.run([alone.logprob, output.logprob, dh], { headRows: used });

      const usedTargets = targets.subarray(0, used);
      const logits = gemmForwardReference(h, values, used, hidden, vocab);
      const want = headLogprobReference(logits, usedTargets, vocab);
      const gradient = headLogitGradientReference(logits, usedTargets, coefficient, vocab);
      // A logit is a sum of 20 products of size `scale`, rounded to float32.
      expectClose(got?.subarray(0, used) ?? [], want, { absolute: 2e-6 * (1 + scale), relative: 1e-6 });
      expect(gotAlone).toEqual(got);
      expectClose(
        gotDh?.subarray(0, used * hidden) ?? [],
        gemmBackwardReference(gradient, values, used, hidden, vocab),
        { absolute: 1e-6 * (1 + scale), relative: 1e-5 },
      );
      expect(got?.subarray(used).every((value) => value === 0)).toBe(true);
    },
  );
}

test('the gradient of the twin agrees with central differences', () => {
  const vocab = 7;
  const logits = randomValues(4, 3 * vocab, 3);
  const targets = [6, 0, 3];
  const coefficient = [-0.5, 1.25, -2];
  const want = centralDifferences((x) => headLogprobReference(x, targets, vocab), logits, coefficient);
  const got = headLogitGradientReference(logits, targets, coefficient, vocab);
  expect(relativeL2(got, want)).toBeLessThan(1e-8);
});

test('tiles cover every vocabulary once, and never all of it at a time', () => {
  for (const vocab of [1, 64, 65, 128, 203, 4100, 49_152, 151_936]) {
    const tiles = vocabularyTiles(vocab);
    let next = 0;
    for (const { firstOut, outs } of tiles) {
      expect(firstOut).toBe(next);
      expect(firstOut % 64).toBe(0);
      next += outs;
    }
    expect(next).toBe(vocab);
    expect(Math.max(...tiles.map(({ outs }) => outs))).toBeLessThanOrEqual(Math.max(64, vocab / 2 + 64));
  }
});

gpuTest('headGradient refuses a forward pass that kept no sums', async (bench) => {
  const { weight } = packedWeight(bench.pool, 'head', randomValues(1, 40), { out: 5, in: 8, dtype: 'F32' });
  const inputs: HeadInputs = {
    h: bench.matrix('h', 1, 8, randomValues(2, 8)),
    weight,
    targets: bench.words('targets', Uint32Array.of(1)),
    lora: null,
    pick: () => 'naive',
  };
  const output = headForward(bench.plan, inputs, false);
  const coefficient = bench.matrix('coefficient', 1, 1, [-1]);
  expect(() => headGradient(bench.plan, inputs, output, coefficient)).toThrow('kept no sums');
});

for (const [tokens, cols, picked] of [
  [1, 4, [0]],
  [7, 37, [6, 0, 3]],
  [9, 300, [1, 2, 3, 5, 8]],
] as const) {
  gpuTest(`rows ${picked.join(', ')} of [${tokens}, ${cols}] to the head and back`, async (bench) => {
    // One place more than the rows in use: it must be left out.
    const rows = bench.words('rows', Uint32Array.from([...picked, 0]));
    const x = randomValues(1, tokens * cols);
    const gathered = gatherRows(bench.plan, bench.matrix('x', tokens, cols, x), rows, picked.length + 1);
    const back = bench.matrix('back', tokens, cols, randomValues(2, tokens * cols));
    scatterRows(bench.plan, gathered, rows, back);
    const [gotRows, gotBack] = await bench.run([gathered, back], { headRows: picked.length });
    const want = gatherRowsReference(x, picked, cols);
    const exact = { absolute: 0, relative: 0 };
    expectClose(gotRows?.subarray(0, picked.length * cols) ?? [], want, exact);
    expectClose(gotBack ?? [], scatterRowsReference(want, picked, cols, tokens), exact);
  });
}
