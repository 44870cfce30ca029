/** The loops on this machine's engine and store: a resumed run, and one submitted ahead, have the bits of a straight one. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TrainingClient } from '../api/training-client.ts';
import { useGpu } from '../engine/testing/gpu.ts';
import { SOME_DATA, testService, TINY_ID, type TestService } from '../local/testing-local.ts';
import { trainDpo, type DpoOptions } from './dpo.ts';
import { openClient } from './open-client.ts';
import { trainRl, type RlOptions } from './rl.ts';
import { trainSft, type SftOptions } from './sft.ts';

const TIMEOUT = 400_000;
useGpu();
let tests: TestService;
beforeAll(async () => {
  tests = await testService();
});
afterAll(() => tests.remove());

const fresh = (): Promise<TrainingClient> =>
  openClient(tests.service, { baseModel: TINY_ID, rank: 4, alpha: 8, seed: 3, trainUnembed: false });

async function bits(client: TrainingClient): Promise<number[]> {
  const { lossFnOutputs } = await client.forward(SOME_DATA, 'cross_entropy');
  return lossFnOutputs.flatMap((output) => Array.from(output['logprobs']?.data ?? [], Number));
}

/** The state that was saved in the middle. */
const middle = (runId: string, step: number, service = tests.service): Promise<TrainingClient> =>
  openClient(service, { resumeFrom: `lorikeet://${runId}/weights/step-00000${String(step)}` });

test('supervised fine-tuning', { timeout: TIMEOUT }, async () => {
  const options: SftOptions = { data: SOME_DATA, batchSize: 1, epochs: 2, learningRate: 5e-3, saveEvery: 3 };
  const straight = await fresh();
  const whole = await trainSft(straight, options);
  const epoch = (from: number): number =>
    whole.steps.slice(from, from + 3).reduce((sum, { loss }) => sum + loss, 0);
  expect(epoch(3)).toBeLessThan(epoch(0));
  const wanted = await bits(straight);
  const resumed = await middle(straight.runId, 3, tests.another());
  expect((await trainSft(resumed, options)).steps).toEqual(whole.steps.slice(3));
  expect(await bits(resumed)).toEqual(wanted);
  const awaited = await fresh();
  expect((await trainSft(awaited, { ...options, submitAhead: 0 })).steps).toEqual(whole.steps);
  expect(await bits(awaited)).toEqual(wanted);
  for (const client of [straight, resumed, awaited]) await client.dispose();
});

test('direct preference optimisation', { timeout: TIMEOUT }, async () => {
  const pair = (token: number) => ({
    prompt: [1, 315, 202],
    chosen: [361, token],
    rejected: [307, 1301, token],
  });
  const options: DpoOptions = {
    pairs: [pair(14), pair(21), pair(34)],
    batchSize: 1,
    epochs: 2,
    learningRate: 5e-3,
    saveEvery: 3,
  };
  const straight = await fresh();
  const whole = await trainDpo(tests.service, straight, options);
  expect(whole.steps.at(-1)?.margin).toBeGreaterThan(0.05);
  const resumed = await middle(straight.runId, 3);
  const again = await trainDpo(tests.service, resumed, options);
  expect(again.steps).toEqual(whole.steps.slice(3));
  expect(again.referencePath).toBe(whole.referencePath);
  expect(await bits(resumed)).toEqual(await bits(straight));
  for (const client of [straight, resumed]) await client.dispose();
});

test('reinforcement learning', { timeout: TIMEOUT }, async () => {
  const options: RlOptions = {
    prompts: [
      [1, 315, 202],
      [1, 316, 202],
    ],
    rewardFn: ({ tokens }) => tokens.filter((token) => token % 2 === 0).length,
    promptsPerIteration: 1,
    groupSize: 4,
    samplingParams: { maxTokens: 2, temperature: 1 },
    learningRate: 5e-3,
    klCoef: 0.05,
    reference: 'start',
    seed: 4,
    epochs: 2,
    saveEvery: 2,
  };
  const straight = await fresh();
  const whole = await trainRl(straight, options);
  const steps = whole.steps.slice(0, 2).reduce((n, step) => n + step.steps, 0);
  const resumed = await middle(straight.runId, steps);
  expect((await trainRl(resumed, options)).steps).toEqual(whole.steps.slice(2));
  // Samplers and references are let go.
  expect(await tests.service.getTelemetry()).toMatchObject({ openSamplers: 0 });
  expect(await bits(resumed)).toEqual(await bits(straight));
  for (const client of [straight, resumed]) await client.dispose();
});
