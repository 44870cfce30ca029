import { describe, expect, it } from 'vitest';
import { BadRequestError } from './errors.ts';
import {
  computeAdvantages,
  deriveSeed,
  foldKl,
  policyDrift,
  rolloutDatum,
  shuffled,
  type Rollout,
} from './ppo-math.ts';
import { PPOTrainer, type PPOOptions } from './ppo-trainer.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';

const rollout = (more: Partial<Rollout>): Rollout => ({
  promptIndex: 0,
  groupIndex: 0,
  promptTokens: [1, 2],
  tokens: [3, 4],
  logprobs: [-1, -2],
  stopReason: 'stop',
  samplerStep: 0,
  text: null,
  ...more,
});

describe('the arithmetic', () => {
  const four = [0, 0, 1, 1].map((promptIndex) => rollout({ promptIndex }));

  it('centres rewards on their group, and drops groups that teach nothing', () => {
    expect(computeAdvantages(four, [1, 3, 5, 5], 'group_centered', true)).toEqual({
      values: [-1, 1, null, null],
      droppedGroups: 1,
    });
    expect(computeAdvantages(four, [1, 3, 5, 5], 'group_centered', false).values).toEqual([-1, 1, 0, 0]);
    expect(computeAdvantages(four, [1, 3, 2, 8], 'group_normalized', true).values).toEqual([-1, 1, -1, 1]);
    expect(computeAdvantages(four, [1, 3, 2, 6], 'batch_centered', true).values).toEqual([-2, 0, -1, 3]);
  });

  it('folds KL into advantages without changing their sum', () => {
    const folded = foldKl(rollout({ referenceLogprobs: [-1.5, -1] }), 2, 0.1);
    // d = q − q_ref = [0.5, −1], mean −0.25
    expect(folded[0]).toBeCloseTo(2 + 0.1 * (-0.25 - 0.5), 12);
    expect(folded[1]).toBeCloseTo(2 + 0.1 * (-0.25 + 1), 12);
    expect(foldKl(rollout({}), 2, 0)).toEqual([2, 2]);
    expect(() => foldKl(rollout({}), 2, 0.1)).toThrow(BadRequestError);
  });

  it('makes datums with nothing on the prompt', () => {
    expect(rolloutDatum(rollout({}), [5, 6])).toEqual({
      modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2, 3] }] },
      lossFnInputs: { targetTokens: [2, 3, 4], logprobs: [0, -1, -2], advantages: [0, 5, 6] },
    });
  });

  it('measures drift over action tokens only', () => {
    const output = {
      lossFnOutputType: '',
      lossFnOutputs: [{ logprobs: { data: [-99, -1, -1.5], dtype: 'float32' as const } }],
      metrics: {},
    };
    const drift = policyDrift([rollout({})], output, 0.8, 1.2);
    expect(drift).toEqual({ tokens: 2, klSum: -0.5, clipped: 1 });
  });

  it('derives seeds and orders that repeat', () => {
    expect(deriveSeed(1, 2, 3)).toBe(deriveSeed(1, 2, 3));
    expect(new Set(Array.from({ length: 1000 }, (_, i) => deriveSeed(0, i))).size).toBe(1000);
    expect(shuffled(20, 7)).toEqual(shuffled(20, 7));
    expect(shuffled(20, 7).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

const PROMPTS = [[1], [2], [3]];
/** A wanted form: as many 5s as can be. */
const rewardFn = ({ tokens }: Rollout): number => tokens.filter((token) => token === 5).length;

async function setUp(options: PPOOptions = {}) {
  const backend = createBigramBackend();
  const service = new ServiceClient({ backend, onWarning: () => undefined, env: {} });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 2 });
  const make = () =>
    PPOTrainer.fromTrainingClient(client, {
      rewardFn,
      samplingParams: { maxTokens: 6, temperature: 1 },
      adamParams: { learningRate: 0.1 },
      groupSize: 8,
      ...options,
    });
  return { backend, service, client, make, trainer: make() };
}

describe('a trainer', () => {
  it('makes the reward rise, the same way each time', async () => {
    const run = async (): Promise<number[]> => {
      const { trainer } = await setUp({ ppoEpochs: 2, minibatchSize: 12, seed: 3, maxStepsOffPolicy: 0 });
      const rewards: number[] = [];
      for (let i = 0; i < 16; i++) {
        const rollouts = await trainer.collectRollouts(PROMPTS);
        const { meanReward } = await trainer.ppoUpdate(rollouts, await trainer.computeRewards(rollouts));
        rewards.push(meanReward);
      }
      return rewards;
    };
    const rewards = await run();
    expect(rewards.at(-1)).toBeGreaterThan((rewards[0] ?? 0) + 2);
    expect(await run()).toEqual(rewards);
  });

  it('draws groups for each prompt, with the log-probabilities of the sampler', async () => {
    const { trainer, client } = await setUp();
    const rollouts = await trainer.collectRollouts(PROMPTS);
    expect(rollouts).toHaveLength(24);
    expect(rollouts.map(({ promptIndex, groupIndex }) => [promptIndex, groupIndex]).slice(7, 9)).toEqual([
      [0, 7],
      [1, 0],
    ]);
    const [first] = rollouts;
    const { lossFnOutputs } = await client.forward(
      [
        rolloutDatum(
          first!,
          first!.tokens.map(() => 1),
        ),
      ],
      'importance_sampling',
    );
    const logprobs = Array.from(lossFnOutputs[0]?.['logprobs']?.data ?? [], Number);
    first?.logprobs.forEach((q, i) => {
      expect(logprobs[i]).toBeCloseTo(q, 5);
    });
    expect(first?.samplerStep).toBe(0);
  });

  it('holds the policy to its reference', async () => {
    const drift = async (klCoef: number, reference: 'start' | 'base'): Promise<number> => {
      const { trainer, client } = await setUp({ klCoef, reference, seed: 1 });
      const before =
        (
          await client.forward(
            [
              {
                modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2, 3] }] },
                lossFnInputs: { targetTokens: [5, 5, 5] },
              },
            ],
            'cross_entropy',
          )
        ).metrics['loss:sum'] ?? NaN;
      for (let i = 0; i < 6; i++) {
        const rollouts = await trainer.collectRollouts(PROMPTS);
        await trainer.ppoUpdate(rollouts, await trainer.computeRewards(rollouts));
      }
      const after =
        (
          await client.forward(
            [
              {
                modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2, 3] }] },
                lossFnInputs: { targetTokens: [5, 5, 5] },
              },
            ],
            'cross_entropy',
          )
        ).metrics['loss:sum'] ?? NaN;
      return before - after;
    };
    const free = await drift(0, 'start');
    expect(await drift(30, 'start')).toBeLessThan(0.7 * free);
    expect(await drift(30, 'base')).toBeLessThan(0.7 * free);
  });

  it('drops what teaches nothing, and makes no step of nothing', async () => {
    const { trainer, client } = await setUp({ rewardFn: () => 1 });
    const rollouts = await trainer.collectRollouts(PROMPTS);
    const update = await trainer.ppoUpdate(rollouts, await trainer.computeRewards(rollouts));
    expect(update).toMatchObject({ droppedGroups: 3, steps: 0, meanReward: 1 });
    expect(client.step).toBe(0);
  });

  it('refuses rollouts that are too old, and rewards that are none', async () => {
    const { trainer } = await setUp();
    const rollouts = await trainer.collectRollouts(PROMPTS);
    const rewards = await trainer.computeRewards(rollouts);
    await trainer.ppoUpdate(rollouts, rewards);
    await expect(trainer.ppoUpdate(rollouts, rewards)).rejects.toThrow(
      '1 optimizer steps old; maxStepsOffPolicy is 0',
    );
    const { trainer: broken } = await setUp({ rewardFn: ({ groupIndex }) => (groupIndex === 1 ? NaN : 0) });
    await expect(broken.computeRewards(await broken.collectRollouts(PROMPTS))).rejects.toThrow(
      'rollout 1 (prompt 0, sample 1) is NaN',
    );
    const { client } = await setUp();
    const none = PPOTrainer.fromTrainingClient(client);
    await expect(none.computeRewards(rollouts)).rejects.toThrow('There is no rewardFn');
    await expect(none.ppoUpdate([], [])).rejects.toBeInstanceOf(BadRequestError);
    expect(() => PPOTrainer.fromTrainingClient(client, { groupSize: 0 })).toThrow('groupSize is 0');
  });

  it('goes on from a checkpoint as if it had not stopped', async () => {
    const { trainer, client, service } = await setUp({ seed: 5 });
    const iterate = async (t: PPOTrainer): Promise<unknown> => {
      const rollouts = await t.collectRollouts(PROMPTS);
      return t.ppoUpdate(rollouts, await t.computeRewards(rollouts));
    };
    await iterate(trainer);
    const { path } = await client.saveState('between');
    const straight = await iterate(trainer);
    const restored = await service.loadTrainingClient(path);
    const again = PPOTrainer.fromTrainingClient(restored, {
      rewardFn,
      samplingParams: { maxTokens: 6, temperature: 1 },
      adamParams: { learningRate: 0.1 },
      groupSize: 8,
      seed: 5,
    });
    expect(again.iteration).toBe(1);
    expect(await iterate(again)).toEqual(straight);
  });
});
