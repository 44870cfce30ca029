import { expect } from 'vitest';
import { dropoutFactor, dropoutKey } from '../reference/dropout.ts';
import { gemmBackwardReference, gemmForwardReference } from '../reference/gemm.ts';
import { headLogitGradientReference, headLogprobReference } from '../reference/head.ts';
import { loraDownReference, loraGradientReference, loraUpBackwardReference } from '../reference/lora.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { centralDifferences } from '../testing/differences.ts';
import { gpuTest, useGpu, type GpuBench } from '../testing/gpu.ts';
import { makeSlot, withoutPadding } from '../testing/slots.ts';
import { packedWeight } from '../testing/weights.ts';
import { headForward, type HeadInputs } from './head.ts';
import { headLoraGradient } from './head-lora.ts';
import { loraDown } from './lora.ts';

useGpu();

interface Case {
  rows: number;
  used: number;
  hidden: number;
  vocab: number;
  rank: number;
  parts: number;
  dropout: number;
}

const NUMBERS = { seed: 9, step: 4, micro: 2 };

/** Runs an adapted head forward and backward on the GPU, and hands back the inputs of the used rows too. */
async function runHead(bench: GpuBench, shape: Case) {
  const { rows, used, hidden, vocab, rank, parts } = shape;
  const h = randomValues(1, rows * hidden);
  const targets = Uint32Array.from({ length: rows }, (_, row) => (row * 61 + vocab - 1) % vocab);
  const coefficient = randomValues(2, rows).map((value) => -0.3 - value / 5);
  const packing = { out: vocab, in: hidden, dtype: 'BF16' as const, parts };
  const { weight, values } = packedWeight(bench.pool, 'lm_head', randomValues(3, vocab * hidden), packing);
  const { slot, a, b } = makeSlot(bench, { inSize: hidden, out: vocab, rank, dropout: shape.dropout });
  const hRef = bench.matrix('h', rows, hidden, h);
  const z = loraDown(bench.plan, hRef, slot, { training: true, headRows: true });
  const inputs: HeadInputs = {
    h: hRef,
    weight,
    targets: bench.words('targets', targets),
    lora: { slot, z },
    pick: () => 'naive',
  };
  const output = headForward(bench.plan, inputs, false);
  const dh = headLoraGradient(bench.plan, inputs, output, bench.matrix('coefficient', 1, rows, coefficient));
  const results = await bench.run([output.logprob, dh, slot.gradA, slot.gradB], {
    ...NUMBERS,
    headRows: used,
  });
  const [logprob = new Float32Array(), gotDh = new Float32Array(), gradA = new Float32Array(), gradB = []] =
    results;
  const key = dropoutKey(NUMBERS.seed, NUMBERS.step, NUMBERS.micro, slot.index);
  return {
    a,
    b,
    w: values,
    scale: slot.scale,
    h: h.subarray(0, used * hidden),
    mask: Float64Array.from({ length: used * hidden }, (_, i) =>
      slot.dropout ? dropoutFactor(key, i, slot.dropout.threshold, slot.dropout.keepScale) : 1,
    ),
    targets: targets.subarray(0, used),
    coefficient: coefficient.subarray(0, used),
    got: {
      logprob: logprob.subarray(0, used),
      dh: gotDh.subarray(0, used * hidden),
      gradA: gradA.subarray(0, rank * hidden),
      gradB: withoutPadding(gradB, vocab, rank),
      padding: [gradA.subarray(rank * hidden), Float32Array.from(gradB).subarray(vocab * slot.rank4 * 4)],
    },
  };
}

for (const shape of [
  { rows: 1, used: 1, hidden: 4, vocab: 5, rank: 1, parts: 1, dropout: 0 },
  { rows: 7, used: 5, hidden: 36, vocab: 203, rank: 3, parts: 2, dropout: 0 },
  { rows: 33, used: 33, hidden: 12, vocab: 4100, rank: 8, parts: 3, dropout: 0.25 },
]) {
  gpuTest(
    `adapted head, ${shape.vocab} outputs in ${shape.parts} part(s), rank ${shape.rank}, dropout ${shape.dropout}`,
    async (bench) => {
      const { used, hidden, vocab, rank } = shape;
      const { a, b, w, h, mask, scale, targets, coefficient, got } = await runHead(bench, shape);
      const dropped = Float64Array.from(h, (value, i) => value * (mask[i] ?? 0));
      const z = loraDownReference(dropped, a, used, hidden, rank);
      const up = gemmForwardReference(z, b, used, rank, vocab);
      const logits = gemmForwardReference(h, w, used, hidden, vocab).map(
        (value, i) => value + scale * (up[i] ?? 0),
      );
      const dLogits = headLogitGradientReference(logits, targets, coefficient, vocab);
      const dz = loraUpBackwardReference(dLogits, b, used, vocab, rank, scale);
      const below = gemmBackwardReference(dz, a, used, hidden, rank);
      const dh = gemmBackwardReference(dLogits, w, used, hidden, vocab).map(
        (value, i) => value + (mask[i] ?? 0) * (below[i] ?? 0),
      );
      const tolerance = { absolute: 1e-5, relative: 1e-5 };
      expectClose(got.logprob, headLogprobReference(logits, targets, vocab), tolerance);
      expectClose(got.dh, dh, tolerance);
      expectClose(got.gradA, loraGradientReference(dz, dropped, used, rank, hidden, 1), tolerance);
      expectClose(got.gradB, loraGradientReference(dLogits, z, used, vocab, rank, scale), tolerance);
      // Padding stays zero, so that the optimizer never moves it.
      for (const padding of got.padding) expect(padding.every((value) => value === 0)).toBe(true);
    },
  );
}

gpuTest('the gradients of an adapted head agree with central differences', async (bench) => {
  const shape = { rows: 2, used: 2, hidden: 4, vocab: 67, rank: 2, parts: 1, dropout: 0 };
  const { used, hidden, vocab, rank } = shape;
  const { a, b, w, h, scale, targets, coefficient, got } = await runHead(bench, shape);
  const logprob = (x: ArrayLike<number>, lowA: ArrayLike<number>, lowB: ArrayLike<number>): Float64Array => {
    const up = gemmForwardReference(loraDownReference(x, lowA, used, hidden, rank), lowB, used, rank, vocab);
    const logits = gemmForwardReference(x, w, used, hidden, vocab);
    return headLogprobReference(
      logits.map((value, i) => value + scale * (up[i] ?? 0)),
      targets,
      vocab,
    );
  };
  const tolerance = { absolute: 5e-6, relative: 1e-5 };
  expectClose(
    got.dh,
    centralDifferences((x) => logprob(x, a, b), h, coefficient),
    tolerance,
  );
  expectClose(
    got.gradA,
    centralDifferences((x) => logprob(h, x, b), a, coefficient),
    tolerance,
  );
  expectClose(
    got.gradB,
    centralDifferences((x) => logprob(h, a, x), b, coefficient),
    tolerance,
  );
});

gpuTest('headLoraGradient refuses a head without an adapter', async (bench) => {
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
  expect(() => headLoraGradient(bench.plan, inputs, output, coefficient)).toThrow('no adapter');
});
