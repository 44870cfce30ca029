import { describe, expect, it } from 'vitest';
import type { Rollout } from '../api/ppo-math.ts';
import { trainRl, type RlOptions } from './rl.ts';
import { bigramClient, bitsOf } from './testing-bigram-service.ts';

const rewardFn = ({ tokens }: Rollout): number =>
  tokens.filter((token) => token === 5).length / tokens.length;

const options: RlOptions = {
  prompts: [[1], [2], [3], [4], [6], [7]],
  rewardFn,
  promptsPerIteration: 3,
  epochs: 10,
  groupSize: 8,
  samplingParams: { maxTokens: 6, temperature: 1 },
  learningRate: 0.3,
  seed: 2,
  saveEvery: 4,
};

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe('reinforcement learning', () => {
  it('raises the reward', async () => {
    const { client } = await bigramClient();
    const { steps, path } = await trainRl(client, options);
    expect(steps.map(({ iteration }) => iteration)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    const rewards = steps.map(({ meanReward }) => meanReward);
    expect(mean(rewards.slice(-3))).toBeGreaterThan(mean(rewards.slice(0, 2)) + 0.3);
    expect(steps.at(-1)?.tokensSeen).toBe(20 * 3 * 8 * 6);
    expect(path).toBe(`lorikeet://${client.runId}/weights/final`);
  });

  it('tells the reward function which prompt was answered', async () => {
    const { client } = await bigramClient();
    const asked = new Set<string>();
    await trainRl(client, {
      ...options,
      epochs: 2,
      rewardFn: (rollout, prompt) => {
        asked.add(`${String(prompt)}: ${rollout.promptTokens.join()}`);
        return rewardFn(rollout);
      },
    });
    expect([...asked].sort()).toEqual(options.prompts.map((tokens, i) => `${String(i)}: ${tokens.join()}`));
  });

  it.each([
    ['on its own samples', {}],
    ['with the next answers drawn ahead', { submitAhead: 1 as const }],
    [
      'in several passes with a falling rate',
      { ppoEpochs: 2, minibatchSize: 10, schedule: 'linear' as const },
    ],
    ['held to the start', { klCoef: 0.5, reference: 'start' as const }],
    ['held to the base', { klCoef: 0.5 }],
  ])('goes on from a checkpoint with the bits of a straight run, %s', async (_, change) => {
    const { client, service, backend } = await bigramClient();
    const whole = await trainRl(client, { ...options, ...change });
    // By iteration 4, whatever number of optimizer steps that is.
    const names = [...backend.store.checkpoints.keys()].filter(
      (key) => /weights\/step-\d+$/.test(key) && !key.includes('sampler'),
    );
    const resumed = await service.loadTrainingClient(names[0] ?? '');
    const before = whole.steps.slice(0, 4).reduce((n, { steps }) => n + steps, 0);
    expect(resumed.loopState).toMatchObject({ step: before, nextBatch: 0, epoch: 2 });
    const again = await trainRl(resumed, { ...options, ...change });
    expect(again.steps).toEqual(whole.steps.slice(4));
    expect(await bitsOf(resumed)).toEqual(await bitsOf(client));
  });

  it('repeats itself from the seed alone', async () => {
    const [one, two, other] = [await bigramClient(), await bigramClient(), await bigramClient()];
    const steps = (await trainRl(one.client, options)).steps;
    expect((await trainRl(two.client, options)).steps).toEqual(steps);
    expect((await trainRl(other.client, { ...options, seed: 3 })).steps).not.toEqual(steps);
  });

  it('stays nearer to its reference with KL', async () => {
    const drift = async (klCoef: number): Promise<number> => {
      const { client } = await bigramClient();
      const before = await bitsOf(client);
      await trainRl(client, { ...options, klCoef, reference: 'start' });
      return mean((await bitsOf(client)).map((value, i) => Math.abs(value - (before[i] ?? NaN))));
    };
    expect(await drift(2)).toBeLessThan(0.7 * (await drift(0)));
  });

  it('keeps the best by reward', async () => {
    const { client, backend } = await bigramClient();
    const { steps } = await trainRl(client, {
      ...options,
      saveEvery: 0,
      saveFinal: false,
      kind: 'state',
      maxCheckpoints: 1,
      saveBest: { metric: 'meanReward', mode: 'max' },
      submitAhead: 1,
    });
    const best = Math.max(...steps.map(({ meanReward }) => meanReward));
    const kept = [...backend.store.checkpoints.values()].map(({ row }) => row);

    expect(
      kept.some(
        ({ metadata }) => (metadata?.['metrics'] as { meanReward: number } | undefined)?.meanReward === best,
      ),
    ).toBe(true);
  });

  it('passes on what the reward function throws', async () => {
    const { client } = await bigramClient();
    await expect(trainRl(client, { ...options, rewardFn: () => NaN })).rejects.toThrow('reward of rollout 0');
    await expect(trainRl(client, { ...options, promptsPerIteration: 0 })).rejects.toThrow('batchSize is 0');
  });
});
