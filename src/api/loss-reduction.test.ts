import { describe, expect, it } from 'vitest';
import { BadRequestError } from './errors.ts';
import { UnsupportedFeatureError } from './own-errors.ts';
import { prepareSkyrl } from './remote/skyrl-calls.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';
import { prepareTrainingCall } from './training-call.ts';
import type { TrainingClient } from './training-client.ts';
import type { Datum } from './types.ts';

const ADAM = { learningRate: 0.1 };
const datum = (tokens: number[], inputs: Datum['lossFnInputs'] = {}): Datum => ({
  modelInput: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
  lossFnInputs: { targetTokens: tokens.slice(1), ...inputs },
});
/** Weights that sum to 2, 0.5 and 3. */
const DATA = [
  datum([1, 2, 3, 4], { weights: [0, 1.5, 0.5] }),
  datum([5, 6, 7], { weights: [0.5, 0] }),
  datum([2, 2, 8, 9]),
];
const RL = [
  datum([1, 2, 3, 4], { advantages: [0, 1, -2], logprobs: [0, -2, -3] }),
  datum([5, 6, 7], { advantages: [0, 0.5], logprobs: [0, -2.5] }),
];

const serviceOf = (lossReduction: 'sum' | 'skyrl'): ServiceClient =>
  new ServiceClient({ backend: createBigramBackend(), lossReduction, env: {}, onWarning: () => undefined });
const open = (lossReduction: 'sum' | 'skyrl'): Promise<TrainingClient> =>
  serviceOf(lossReduction).createLoraTrainingClient('bigram', { rank: 4, seed: 1 });
/** The same numbers for the same weights: the trained table as it shows in log-probabilities. */
const shown = async (client: TrainingClient): Promise<number[]> =>
  (await client.forward([datum([1, 2, 3, 4, 5, 6, 7, 8, 9])], 'cross_entropy')).lossFnOutputs.flatMap((o) =>
    Array.from(o['logprobs']?.data ?? [], Number),
  );
const close = (a: number[], b: number[]): void => {
  a.forEach((value, i) => {
    expect(value).toBeCloseTo(b[i] ?? NaN, 5);
  });
};

describe('lossReduction: "skyrl"', () => {
  it('is the sum with weights divided by their sum and by the number of sequences since the step', async () => {
    const [mean, sum] = [await open('skyrl'), await open('sum')];
    const scaled = (by: number) => [
      datum([1, 2, 3, 4], { weights: [0, 1.5 / 2 / by, 0.5 / 2 / by] }),
      datum([5, 6, 7], { weights: [1 / by, 0] }),
      datum([2, 2, 8, 9], { weights: [1 / 3 / by, 1 / 3 / by, 1 / 3 / by] }),
    ];
    await mean.forwardBackward(DATA, 'cross_entropy');
    await sum.forwardBackward(scaled(3), 'cross_entropy');
    // The norm tells the scale, which Adam's first step hides.
    const norms = [await mean.optimStep(ADAM), await sum.optimStep(ADAM)].map((r) => r.metrics?.['gradNorm']);
    expect(norms[0]).toBeCloseTo(norms[1] ?? NaN, 6);
    close(await shown(mean), await shown(sum));
    // Two calls before one step are four sequences.
    await mean.forwardBackward(DATA, 'cross_entropy');
    await mean.forwardBackward(DATA.slice(0, 1), 'cross_entropy');
    await sum.forwardBackward(scaled(4), 'cross_entropy');
    await sum.forwardBackward(scaled(4).slice(0, 1), 'cross_entropy');
    const later = [await mean.optimStep(ADAM), await sum.optimStep(ADAM)].map((r) => r.metrics?.['gradNorm']);
    expect(later[0]).toBeCloseTo(later[1] ?? NaN, 6);
    close(await shown(mean), await shown(sum));
  });

  it.each(['importance_sampling', 'ppo', 'cispo'] as const)(
    'masks where the advantage is 0 (%s)',
    async (loss) => {
      const [mean, sum] = [await open('skyrl'), await open('sum')];
      const scaled = [
        datum([1, 2, 3, 4], { advantages: [0, 1 / 2 / 2, -2 / 2 / 2], logprobs: [0, -2, -3] }),
        datum([5, 6, 7], { advantages: [0, 0.5 / 1 / 2], logprobs: [0, -2.5] }),
      ];
      await mean.forwardBackward(RL, loss);
      await sum.forwardBackward(scaled, loss);
      const norms = [await mean.optimStep(ADAM), await sum.optimStep(ADAM)].map(
        (r) => r.metrics?.['gradNorm'],
      );
      expect(norms[0]).toBeCloseTo(norms[1] ?? NaN, 6);
      close(await shown(mean), await shown(sum));
    },
  );

  it('is undone by emulateSumLoss for RL losses with one call for each step', () => {
    const call = prepareTrainingCall(RL, 'ppo');
    const sent = prepareSkyrl(call, true, true).data;
    sent.forEach(({ inputs }, i) => {
      const mask = Array.from(inputs.weights?.data ?? [], Number);
      const by = mask.reduce((a, b) => a + b, 0) * RL.length;
      expect(Array.from(inputs.advantages?.data ?? [], (a) => a / by)).toEqual(
        Array.from(call.data[i]?.inputs.advantages?.data ?? [], Number),
      );
    });
  });

  it('refuses what would not be what SkyRL does, before a turn is taken', async () => {
    const client = await open('skyrl');
    const none = [datum([1, 2, 3], { weights: [0, 0] })];
    await expect(client.forwardBackward(none, 'cross_entropy')).rejects.toThrow('has no weight');
    const mute = [datum([1, 2, 3], { advantages: [0, 0], logprobs: [0, 0] })];
    await expect(client.forwardBackward(mute, 'ppo')).rejects.toThrow('has no weight');
    expect((await client.forward(none, 'cross_entropy')).metrics['loss:sum']).toBe(0);
    await expect(client.forwardBackward(RL, 'dro', { beta: 1 })).rejects.toBeInstanceOf(
      UnsupportedFeatureError,
    );
    await client.forwardBackward(DATA, 'cross_entropy');
    await expect(
      client.optimStep(ADAM, { gradAccumulationNormalization: 'num_loss_tokens' }),
    ).rejects.toBeInstanceOf(BadRequestError);
    await expect(
      client.forwardBackwardCustom(DATA, (_, lists) => ({ loss: 0, gradLogprobs: lists })),
    ).rejects.toBeInstanceOf(UnsupportedFeatureError);
    const remote = new ServiceClient({ baseUrl: 'http://127.0.0.1:1', lossReduction: 'skyrl', env: {} });
    await expect(remote.capabilities()).rejects.toThrow('is for the engine of this machine');
    const wrong = new ServiceClient({
      backend: createBigramBackend(),
      lossReduction: 'mean' as 'sum',
      env: {},
    });
    await expect(wrong.capabilities()).rejects.toBeInstanceOf(BadRequestError);
  });
});
