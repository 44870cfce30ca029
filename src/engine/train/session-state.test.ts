/** The state of a live session: loading another one, dropping and measuring the gradient, steps that divide it. */
import { expect, test } from 'vitest';
import type { Adapter } from '../../formats/adapter.ts';
import { openAdaptedModel } from '../testing/adapted-model.ts';
import { useGpu } from '../testing/gpu.ts';
import { forwardBackwardData } from './loss-step.ts';
import { lossFrom } from './losses.ts';
import type { TrainingSession } from './session.ts';
import { DEFAULT_FINETUNE } from './types.ts';

useGpu();

const data = [
  { inputIds: [4, 8, 15, 16, 23], targetTokens: [8, 15, 16, 23, 42], weights: [0, 1, 0.5, -0.25, 1] },
  { inputIds: [3, 1, 4], targetTokens: [1, 4, 1], weights: [0, 0, 0] },
];
const crossEntropy = lossFrom('cross_entropy');
const adam = { ...DEFAULT_FINETUNE, learningRate: 1e-2, weightDecay: 0.01 };

const backward = (session: TrainingSession, step: number, micro = 0) =>
  forwardBackwardData(session, data, crossEntropy, { seed: 0, step, micro });

interface Everything {
  tensors: Adapter['tensors'];
  moments: Record<'expAvg' | 'expAvgSq', Adapter['tensors']>;
  grads: Adapter['tensors'];
}

const readAll = async (session: TrainingSession): Promise<Everything> => ({
  tensors: (await session.adapter()).tensors,
  moments: await session.moments(),
  grads: await session.state.tensors('grads'),
});

const isZero = (tensors: Adapter['tensors']): boolean =>
  tensors.every(({ data: values }) => values.every((value) => value === 0));

async function steps(session: TrainingSession, from: number, to: number): Promise<number[]> {
  const norms: number[] = [];
  for (let step = from; step <= to; step++) {
    await backward(session, step);
    norms.push(await session.optimStep(step, adam));
  }
  return norms;
}

test('a used session takes another state in, accumulated gradient included, and goes on to the bit', async () => {
  using model = await openAdaptedModel('llama');
  const straight = await model.open();
  await steps(straight, 1, 2);
  await backward(straight, 3);
  const saved = await readAll(straight);
  expect(isZero(saved.grads)).toBe(false);
  const goOn = async (session: TrainingSession): Promise<Everything> => {
    await session.optimStep(3, adam);
    await steps(session, 4, 5);
    return readAll(session);
  };
  const want = await goOn(straight);

  const used = await model.open({ start: { seed: 9 } });
  await steps(used, 1, 3);
  await backward(used, 4);
  const { created, bytes } = model.base.pool;
  await used.load(saved);
  expect([model.base.pool.created, model.base.pool.bytes], 'nothing is built anew').toEqual([created, bytes]);
  expect(await readAll(used)).toEqual(saved);
  expect(await goOn(used)).toEqual(want);

  await used.load({ tensors: saved.tensors });
  const cold = await readAll(used);
  expect(cold.tensors).toEqual(saved.tensors);
  expect([cold.grads, cold.moments.expAvg, cold.moments.expAvgSq].every(isZero)).toBe(true);
  expect((await goOn(used)).tensors).not.toEqual(want.tensors);
});

test('a state that does not fit is refused and changes nothing', async () => {
  using model = await openAdaptedModel('llama');
  const session = await model.open();
  await steps(session, 1, 1);
  await backward(session, 2);
  const before = await readAll(session);
  const damaged = before.moments.expAvgSq.map((tensor) => ({ ...tensor, data: tensor.data.slice() }));
  damaged[3]?.data.fill(NaN);
  for (const start of [
    { tensors: before.tensors.slice(1) },
    { tensors: before.tensors.map((tensor) => ({ ...tensor, shape: [1, 1] as const })) },
    { tensors: before.tensors, moments: { ...before.moments, expAvgSq: damaged } },
    { tensors: before.tensors, moments: before.moments, grads: before.grads.slice(2) },
  ]) {
    await expect(session.load(start as Everything)).rejects.toMatchObject({ code: 'ADAPTER_MISMATCH' });
  }
  expect(await readAll(session)).toEqual(before);
});

test('loading, clearing and measuring take their turn among steps that nobody awaited', async () => {
  using model = await openAdaptedModel('llama');
  const awaited = await model.open();
  const queued = await model.open();
  const start = { tensors: model.adapter.tensors };
  const work = (session: TrainingSession): (() => Promise<unknown>)[] => [
    () => backward(session, 1),
    () => session.gradientNorms(),
    () => session.optimStep(1, adam),
    () => backward(session, 2),
    () => session.clearGradients(),
    () => session.gradientNorms(),
    () => session.optimStep(2, adam),
    () => session.load(start),
    () => backward(session, 1),
    () => session.optimStep(1, adam),
    () => backward(session, 2),
  ];
  const one: unknown[] = [];
  for (const call of work(awaited)) one.push(await call());
  const all = await Promise.all(work(queued).map((call) => call()));
  expect(all).toEqual(one);
  expect(all[5]).toMatchObject({ total: 0 });
  expect(await readAll(queued)).toEqual(await readAll(awaited));
});

test('norms of the gradient by module, whole and divided', async () => {
  using model = await openAdaptedModel('llama-untied');
  const session = await model.open();
  await backward(session, 1);
  const { total, modules } = await session.gradientNorms();
  expect(Object.keys(modules)).toHaveLength(15);
  expect(modules['lm_head']).toBeGreaterThan(0);
  const squares = Object.values(modules).reduce((sum, norm) => sum + norm * norm, 0);
  expect(Math.sqrt(squares) / total).toBeCloseTo(1, 12);
  const third = await session.gradientNorms(3);
  expect(third.total / total).toBeCloseTo(1 / 3, 12);
  const norm = await session.optimStep(1, adam, 3);
  expect(norm / third.total).toBeCloseTo(1, 5);
  expect(await session.gradientNorms()).toMatchObject({ total: 0 });
});

test('a divisor is a weight that comes later, and clips after it', async () => {
  using model = await openAdaptedModel('llama');
  const divided = await model.open();
  const weighted = await model.open();
  const quarter = data.map((datum) => ({ ...datum, weights: datum.weights.map((weight) => weight / 4) }));
  const used = { ...adam, gradClip: 0.5, eps: 0.1 };
  const { lossTokens, sequences } = await backward(divided, 1);
  expect([lossTokens, sequences]).toEqual([4, 1]);
  await forwardBackwardData(weighted, quarter, crossEntropy, { seed: 0, step: 1, micro: 0 });
  // Powers of two lose no bit.
  expect(await divided.optimStep(1, used, lossTokens)).toBe(await weighted.optimStep(1, used));
  expect(await readAll(divided)).toEqual(await readAll(weighted));
  const plain = await model.open();
  await backward(plain, 1);
  await plain.optimStep(1, used);
  expect((await readAll(plain)).tensors).not.toEqual((await readAll(divided)).tensors);
});

test('a step without gradient moves by the moments; what is no step changes nothing', async () => {
  using model = await openAdaptedModel('llama');
  const session = await model.open();
  const fresh = await readAll(session);
  expect(await session.optimStep(1, { ...adam, weightDecay: 0 })).toBe(0);
  expect(await readAll(session)).toEqual(fresh);
  await steps(session, 1, 1);
  const before = await readAll(session);
  expect(await session.optimStep(2, adam)).toBe(0);
  const after = await readAll(session);
  expect(after.tensors).not.toEqual(before.tensors);

  await backward(session, 3);
  const kept = await readAll(session);
  for (const [params, divisor] of [
    [{ ...adam, learningRate: -1 }, 1],
    [{ ...adam, beta2: 1 }, 1],
    [adam, 0],
    [adam, NaN],
    [adam, Infinity],
  ] as const)
    await expect(session.optimStep(3, params, divisor)).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  expect(await readAll(session)).toEqual(kept);
});

test('a loss that overflows reaches no weight, and the next step is clean', async () => {
  using model = await openAdaptedModel('llama');
  const session = await model.open();
  const before = await readAll(session);
  const wild = [{ inputIds: [1, 2], targetTokens: [2, 3], logprobs: [-1, -300], advantages: [1, 1] }];
  const loss = lossFrom('importance_sampling');
  const result = await forwardBackwardData(session, wild, loss, { seed: 0, step: 1, micro: 0 });
  expect(result.loss).toBe(-Infinity);
  expect(await session.optimStep(1, adam)).toBe(Infinity);
  expect(await readAll(session)).toEqual(before);
  expect((await steps(session, 1, 1))[0]).toBeGreaterThan(0);
  const masked = [{ ...wild[0], advantages: [1, 0] }] as typeof wild;
  const { loss: value } = await forwardBackwardData(session, masked, loss, { seed: 0, step: 2, micro: 0 });
  expect(Number.isFinite(value)).toBe(true);
  expect(Number.isFinite(await session.optimStep(2, adam))).toBe(true);
});
