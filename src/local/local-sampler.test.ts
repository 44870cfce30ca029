/** Requests for samples that come together are drawn side by side, and answered as if each had come alone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ModelInput } from '../api/model-input.ts';
import { useGpu } from '../engine/testing/gpu.ts';
import { SOME_DATA, testService, TINY_ID, type TestService } from './testing-local.ts';

useGpu();
let tests: TestService;
beforeAll(async () => {
  tests = await testService();
});
afterAll(() => tests.remove());

const PROMPTS = [
  [1, 315, 202, 361, 307, 1301, 14],
  [1, 315, 202, 361, 307, 1301, 14],
  [1, 830, 202, 37, 72],
  [2],
];

test('requests at once are answered as one by one, also where the weights change between them', async () => {
  const client = await tests.service.createLoraTrainingClient(TINY_ID, { rank: 2, trainUnembed: false });
  const sampler = await client.saveWeightsAndGetSamplingClient({ name: 'start' });
  for (let i = 0; i < 2; i++)
    await client.train(SOME_DATA, 'cross_entropy', { adamParams: { learningRate: 2e-2 } });
  const { path } = await client.saveWeightsForSampler('later');
  const ask = (prompt: readonly number[], i: number) =>
    sampler.sample(prompt, {
      numSamples: 1 + (i % 3),
      includePromptLogprobs: i === 2,
      samplingParams: { maxTokens: 3 + 4 * i, seed: i, temperature: 1 },
    });
  const bad = () => sampler.sample(ModelInput.fromInts([2 ** 20]), { samplingParams: { maxTokens: 2 } });
  const asked = PROMPTS.map(ask);
  const refused = bad().catch((error: unknown) => error);
  const switched = sampler.hotLoad(path);
  const askedLater = PROMPTS.map(ask);
  const [together, later] = [await Promise.all(asked), await Promise.all(askedLater)];
  expect(await refused).toMatchObject({ code: 'API_BAD_REQUEST' });
  await switched;
  expect(new Set(together.map(({ snapshot }) => snapshot))).toEqual(
    new Set([`lorikeet://${client.runId}/sampler_weights/start`]),
  );
  expect(new Set(later.map(({ snapshot }) => snapshot))).toEqual(new Set([path]));
  for (const [snapshot, answers] of [
    [path, later],
    [`lorikeet://${client.runId}/sampler_weights/start`, together],
  ] as const) {
    await sampler.hotLoad(snapshot);
    for (const [i, prompt] of PROMPTS.entries()) expect(await ask(prompt, i)).toEqual(answers[i]);
  }
  expect(later.map(({ sequences }) => sequences)).not.toEqual(together.map(({ sequences }) => sequences));
  // What was asked for before closing is answered.
  const last = PROMPTS.map(ask);
  await sampler.close();
  expect(await Promise.all(last)).toEqual(together);
  await client.dispose();
});
