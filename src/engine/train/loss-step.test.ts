/** Whole data through a session: how they are split changes nothing, and what is refused leaves nothing behind. */
import { expect, test } from 'vitest';
import { openAdaptedModel } from '../testing/adapted-model.ts';
import { randomValues } from '../testing/compare.ts';
import { relativeL2 } from '../testing/distance.ts';
import { useGpu } from '../testing/gpu.ts';
import { packExamples } from './batcher.ts';
import type { LossDatum } from './loss-data.ts';
import { forwardBackwardData, forwardData, longestDatum, promptLogprobs } from './loss-step.ts';
import { lossFrom } from './losses.ts';
import type { TrainingSession } from './session.ts';

useGpu();

const keys = { seed: 3, step: 1, micro: 0 };
const crossEntropy = lossFrom('cross_entropy');

const ids = (seed: number, count: number): number[] =>
  [...randomValues(seed, count)].map((value) => Math.floor((value + 1) * 99));

/** Data as sampling leaves them: prompts without advantages, some tokens clipped. */
const sampled: LossDatum[] = [7, 20, 1, 12, 15].map((length, index) => ({
  inputIds: ids(index + 1, length),
  targetTokens: ids(index + 50, length),
  logprobs: [...randomValues(index + 90, length, 2)].map((value) => value - 6),
  advantages: [...randomValues(index + 70, length)].map((value, i) => (i < 3 ? 0 : value)),
}));

const gradients = async (session: TrainingSession): Promise<number[]> =>
  (await session.state.tensors('grads')).flatMap(({ data }) => [...data]);

test('the split into micro-batches changes neither value nor gradient beyond rounding', async () => {
  using model = await openAdaptedModel('llama');
  const wide = await model.open({ maxTokens: 64 });
  const narrow = await model.open({ maxTokens: 32 });
  for (const name of ['importance_sampling', 'ppo', 'cispo'] as const) {
    const one = await forwardBackwardData(wide, sampled, lossFrom(name), keys);
    const many = await forwardBackwardData(narrow, sampled, lossFrom(name), keys);
    expect([one.microBatches, many.microBatches]).toEqual([1, 2]);
    expect(Math.abs(many.loss / one.loss - 1)).toBeLessThan(1e-5);
    many.logprobs.forEach((row, i) => expect(relativeL2(row, one.logprobs[i] ?? [])).toBeLessThan(1e-6));
    expect(relativeL2(await gradients(narrow), await gradients(wide))).toBeLessThan(1e-5);
    expect([many.lossTokens, many.sequences]).toEqual([one.lossTokens, one.sequences]);
    await wide.clearGradients();
    await narrow.clearGradients();
  }
});

test('counts what has a gradient: not what is masked, and not what is clipped', async () => {
  using model = await openAdaptedModel('llama');
  const session = await model.open({ maxTokens: 64 });
  const { logprobs } = await forwardData(
    session,
    [{ inputIds: [5, 6, 7, 8], targetTokens: [6, 7, 8, 9] }],
    crossEntropy,
  );
  const p = [...(logprobs[0] ?? [])];
  const data: LossDatum[] = [
    {
      inputIds: [5, 6, 7, 8],
      targetTokens: [6, 7, 8, 9],
      // Ratios of 1, 2, 1/2 and 2.
      logprobs: p.map((value, i) => value - Math.log([1, 2, 0.5, 2][i] ?? 1)),
      advantages: [1, 1, 1, 0],
    },
    { inputIds: [5], targetTokens: [6], logprobs: [0], advantages: [0] },
  ];
  const counts = async (name: string, settings?: Record<string, number>): Promise<number[]> => {
    const { loss, lossTokens, sequences } = await forwardData(session, data, lossFrom(name, settings));
    return [Number(loss.toFixed(4)), lossTokens, sequences];
  };
  expect(await counts('importance_sampling')).toEqual([-3.5, 3, 1]);
  expect(await counts('ppo')).toEqual([-2.7, 2, 1]);
  expect((await counts('cispo')).slice(1)).toEqual([3, 1]);
  expect((await counts('dro', { beta: 0.1 })).slice(1)).toEqual([5, 2]);
});

test('cross-entropy on all tokens gives the bits of supervised training', async () => {
  using model = await openAdaptedModel('llama-untied');
  const supervised = await model.open();
  const session = await model.open();
  const rows = [9, 13].map((length, i) => ids(i + 1, length));
  await supervised.forwardBackward(
    packExamples(
      rows.map((inputIds) => ({ inputIds, labels: inputIds })),
      0.125,
    ),
    keys,
  );
  const data = rows.map((row) => ({
    inputIds: row.slice(0, -1),
    targetTokens: row.slice(1),
    weights: row.slice(1).fill(0.125),
  }));
  await forwardBackwardData(session, data, crossEntropy, keys);
  expect(await gradients(session)).toEqual(await gradients(supervised));
});

test('several targets of a token are one pass to the dropout', async () => {
  using model = await openAdaptedModel('llama');
  const settings = { ...model.adapter.settings, dropout: 0.3 };
  const inputIds = ids(4, 11);
  const targetTokens = ids(5, 11);
  const single = await model.open({ settings });
  await forwardBackwardData(single, [{ inputIds, targetTokens }], crossEntropy, keys);
  const double = await model.open({ settings });
  const result = await forwardBackwardData(
    double,
    [
      {
        inputIds,
        targetTokens: targetTokens.flatMap((id) => [id, id]),
        weights: new Float32Array(22).fill(0.5),
      },
    ],
    crossEntropy,
    keys,
  );
  expect(result).toMatchObject({ microBatches: 1, lossTokens: 11, sequences: 1 });
  expect(result.logprobs[0]).toHaveLength(22);
  // Halves add up without a rounding.
  expect(await gradients(double)).toEqual(await gradients(single));
  const other = await model.open({ settings });
  await forwardBackwardData(other, [{ inputIds, targetTokens }], crossEntropy, { ...keys, micro: 1 });
  expect(await gradients(other)).not.toEqual(await gradients(single));
});

test('what is refused is refused before anything is queued', async () => {
  using model = await openAdaptedModel('gpt2');
  const session = await model.open({ maxTokens: 64 });
  // GPT-2 here has 40 positions.
  expect(longestDatum(session)).toBe(40);
  const good: LossDatum = { inputIds: [1, 2], targetTokens: [2, 3] };
  const long: LossDatum = { inputIds: new Uint32Array(41), targetTokens: new Uint32Array(41) };
  for (const [data, code] of [
    [[good, long], 'DATA_TOO_LONG'],
    [[good, { ...good, targetTokens: [2, 203] }], 'DATA_INVALID'],
    [[good, { ...good, weights: [1, NaN] }], 'DATA_INVALID'],
    [[], 'DATA_EMPTY'],
  ] as const) {
    await expect(forwardBackwardData(session, data, crossEntropy, keys)).rejects.toMatchObject({ code });
    await expect(forwardData(session, data, crossEntropy)).rejects.toMatchObject({ code });
  }
  expect((await session.gradientNorms()).total).toBe(0);
  const prompt = new Uint32Array(41);
  expect((await promptLogprobs(session, [prompt]))[0]).toHaveLength(40);
  for (const [bad, code] of [
    [new Uint32Array(42), 'DATA_TOO_LONG'],
    [[1, 203], 'DATA_INVALID'],
    [[203], 'DATA_INVALID'],
    [[], 'DATA_EMPTY'],
  ] as const)
    await expect(promptLogprobs(session, [prompt, bad])).rejects.toMatchObject({ code });
});
