/**
 * Reinforcement learning on a training client: sample, reward, update. There is no value network; advantages are relative
 * to the group of a prompt. The iteration is kept in the client's checkpoints, so a resumed run draws what it would have.
 */
import { BadRequestError } from './errors.ts';
import { createFuture, type ApiFuture } from './future.ts';
import { ModelInput } from './model-input.ts';
import { parseCheckpointPath } from './paths.ts';
import {
  computeAdvantages,
  deriveSeed,
  foldKl,
  policyDrift,
  rolloutDatum,
  shuffled,
  type AdvantageKind,
  type Rollout,
} from './ppo-math.ts';
import type { SamplingClient } from './sampling-client.ts';
import type { TrainingClient } from './training-client.ts';
import type { AdamParams, ApiTokenizer, SamplingParams } from './types.ts';

export interface PPOOptions {
  rewardFn?: (rollout: Rollout) => number | Promise<number>;
  /** Completions of each prompt. */
  groupSize?: number;
  samplingParams?: SamplingParams;
  seed?: number;
  lossFn?: 'ppo' | 'importance_sampling' | 'cispo';
  clipLowThreshold?: number;
  clipHighThreshold?: number;
  ppoEpochs?: number;
  /** Rollouts of one step; all of them unless said otherwise. */
  minibatchSize?: number;
  adamParams?: AdamParams;
  gradAccumulationNormalization?: 'none' | 'num_loss_tokens' | 'num_sequences' | null;
  advantage?: AdvantageKind;
  dropConstantGroups?: boolean;
  klCoef?: number;
  /** What KL is measured against: the weights at construction, the base model, or a checkpoint. */
  reference?: 'start' | 'base';
  referencePath?: string;
  /** Optimizer steps that a rollout may be behind. */
  maxStepsOffPolicy?: number;
  tokenizer?: ApiTokenizer;
}

export interface PPOUpdate {
  /** Mean loss of a rollout, over all steps of the update; NaN where there was none. */
  loss: number;
  meanReward: number;
  /** Mean of q − logp over action tokens, as the update saw them. */
  klMean: number;
  clipFraction: number;
  droppedGroups: number;
  steps: number;
}

const PART = 'ppo';

function check(name: string, value: number, legal: boolean, words: string): void {
  if (!legal) throw new BadRequestError({ message: `${name} is ${String(value)}; it must be ${words}.` });
}

export class PPOTrainer {
  readonly #client: TrainingClient;
  readonly #o: PPOOptions;
  readonly #groupSize: number;
  readonly #klCoef: number;
  readonly #reference: Promise<SamplingClient> | null;
  #iteration: number;
  #sampler: SamplingClient | null = null;

  private constructor(client: TrainingClient, o: PPOOptions) {
    const { groupSize = 4, klCoef = 0, ppoEpochs = 1, minibatchSize, maxStepsOffPolicy = 0 } = o;
    check('groupSize', groupSize, Number.isInteger(groupSize) && groupSize >= 1, 'a whole number from 1');
    check('klCoef', klCoef, Number.isFinite(klCoef) && klCoef >= 0, 'at least 0');
    check('ppoEpochs', ppoEpochs, Number.isInteger(ppoEpochs) && ppoEpochs >= 1, 'a whole number from 1');
    const size = minibatchSize ?? 1;
    check('minibatchSize', size, Number.isInteger(size) && size >= 1, 'a whole number from 1');
    check(
      'maxStepsOffPolicy',
      maxStepsOffPolicy,
      Number.isInteger(maxStepsOffPolicy) && maxStepsOffPolicy >= 0,
      'a whole number from 0',
    );
    this.#client = client;
    this.#o = o;
    this.#groupSize = groupSize;
    this.#klCoef = klCoef;
    this.#reference = klCoef > 0 ? this.#openReference() : null;
    this.#reference?.catch(() => undefined);
    const saved = client.loopState?.extra?.[PART] as { iteration?: unknown } | undefined;
    this.#iteration = typeof saved?.iteration === 'number' ? saved.iteration : 0;
    client.contributeLoopState(PART, () => ({ iteration: this.#iteration, seed: o.seed ?? 0 }));
  }

  /** A trainer on a client. With `klCoef`, the reference is taken at this call unless another is named. */
  static fromTrainingClient(client: TrainingClient, options: PPOOptions = {}): PPOTrainer {
    return new PPOTrainer(client, options);
  }

  get iteration(): number {
    return this.#iteration;
  }

  /** Lets its sampler and its reference go. What it adds to the client's loopState stays. */
  async close(): Promise<void> {
    const open = [this.#sampler, await this.#reference?.catch(() => null)];
    this.#sampler = null;
    for (const sampler of open) await sampler?.close();
  }

  #openReference(): Promise<SamplingClient> {
    const { host, baseModel } = this.#client;
    const { referencePath, reference = 'start' } = this.#o;
    if (referencePath !== undefined) {
      return host.openSampler({
        modelPath: parseCheckpointPath(referencePath, { assume: 'sampler', currentRun: this.#client.runId }),
      });
    }
    return reference === 'base'
      ? host.openSampler({ baseModel })
      : this.#client.saveWeightsAndGetSamplingClient();
  }

  /** Draws `groupSize` completions for each prompt from the present weights. The same seed and iteration draw the same. */
  collectRollouts(prompts: readonly (ModelInput | readonly number[])[]): ApiFuture<Rollout[]> {
    const client = this.#client;
    const samplerStep = client.step;
    // Taken at the call, so that what was submitted before is in it.
    const opening = client.saveWeightsAndGetSamplingClient();
    return createFuture(
      async () => {
        const tokens = prompts.map((prompt) =>
          'chunks' in prompt ? ModelInput.toInts(prompt) : [...prompt],
        );
        const fresh = await opening;
        const former = this.#sampler;
        this.#sampler = fresh;
        await former?.close();
        const iteration = this.#iteration++;
        const { samplingParams = { maxTokens: 256, temperature: 1 }, seed = 0, tokenizer } = this.#o;
        const responses = tokens.map((prompt, promptIndex) =>
          fresh.sample(prompt, {
            numSamples: this.#groupSize,
            samplingParams: { ...samplingParams, seed: deriveSeed(seed, iteration, promptIndex) },
          }),
        );
        const rollouts: Rollout[] = [];
        for (const [promptIndex, response] of responses.entries()) {
          for (const [groupIndex, sequence] of (await response).sequences.entries()) {
            const { logprobs, stopReason } = sequence;
            if (logprobs === undefined || sequence.tokens.length === 0) {
              throw new BadRequestError({
                message: 'The sampler gave no tokens with log-probabilities, which training needs.',
              });
            }
            rollouts.push({
              promptIndex,
              groupIndex,
              promptTokens: tokens[promptIndex] ?? [],
              tokens: sequence.tokens,
              logprobs,
              stopReason,
              samplerStep,
              text: tokenizer?.decode(sequence.tokens) ?? null,
            });
          }
        }
        return rollouts;
      },
      { seqIds: opening.seqIds },
    );
  }

  /** The reward of each rollout, in order. With KL it also asks the reference for its log-probabilities. */
  computeRewards(rollouts: readonly Rollout[]): ApiFuture<number[]> {
    return createFuture(async () => {
      const { rewardFn } = this.#o;
      if (rewardFn === undefined)
        throw new BadRequestError({
          message: 'There is no rewardFn.',
          fix: 'Give one to PPOTrainer.fromTrainingClient.',
        });
      const rewards: number[] = [];
      for (const [i, rollout] of rollouts.entries()) {
        const reward = await rewardFn(rollout);
        if (!Number.isFinite(reward)) {
          throw new BadRequestError({
            message: `The reward of rollout ${String(i)} (prompt ${String(rollout.promptIndex)}, sample ${String(rollout.groupIndex)}) is ${String(reward)}.`,
          });
        }
        rewards.push(reward);
      }
      if (this.#reference !== null) {
        const reference = await this.#reference;
        const asked = rollouts.map((rollout) =>
          reference.computeLogprobs([...rollout.promptTokens, ...rollout.tokens]),
        );
        for (const [i, rollout] of rollouts.entries()) {
          const logprobs = (await asked[i]) ?? [];
          rollout.referenceLogprobs = logprobs
            .slice(rollout.promptTokens.length)
            .map((value) => value ?? NaN);
        }
      }
      return rewards;
    });
  }

  /** Trains on rollouts: each minibatch is one forwardBackward and one optimStep, submitted together. */
  ppoUpdate(rollouts: readonly Rollout[], rewards: readonly number[]): ApiFuture<PPOUpdate> {
    return createFuture(() => this.#update(rollouts, rewards));
  }

  async #update(rollouts: readonly Rollout[], rewards: readonly number[]): Promise<PPOUpdate> {
    const o = this.#o;
    const {
      lossFn = 'ppo',
      clipLowThreshold = 0.8,
      clipHighThreshold = 1.2,
      ppoEpochs = 1,
      maxStepsOffPolicy = 0,
    } = o;
    if (rollouts.length === 0 || rewards.length !== rollouts.length || !rewards.every(Number.isFinite)) {
      throw new BadRequestError({
        message: `There are ${String(rollouts.length)} rollouts and ${String(rewards.length)} rewards; each needs one finite reward.`,
      });
    }
    const oldest = Math.min(...rollouts.map(({ samplerStep }) => samplerStep));
    if (this.#client.step - oldest > maxStepsOffPolicy) {
      throw new BadRequestError({
        message: `A rollout is ${String(this.#client.step - oldest)} optimizer steps old; maxStepsOffPolicy is ${String(maxStepsOffPolicy)}.`,
        fix: 'Collect new rollouts, or allow older ones.',
      });
    }
    const { values, droppedGroups } = computeAdvantages(
      rollouts,
      rewards,
      o.advantage ?? 'group_centered',
      o.dropConstantGroups ?? true,
    );
    const kept = rollouts.flatMap((rollout, i) => {
      const advantage = values[i];
      if (advantage === null || advantage === undefined) return [];
      return [{ rollout, datum: rolloutDatum(rollout, foldKl(rollout, advantage, this.#klCoef)) }];
    });
    const update: PPOUpdate = {
      loss: NaN,
      meanReward: rewards.reduce((a, b) => a + b, 0) / rewards.length,
      klMean: 0,
      clipFraction: 0,
      droppedGroups,
      steps: 0,
    };
    if (kept.length === 0) return update;
    const size = o.minibatchSize ?? kept.length;
    const config = lossFn === 'importance_sampling' ? null : { clipLowThreshold, clipHighThreshold };
    let [loss, trained, tokens, klSum, clipped] = [0, 0, 0, 0, 0];
    for (let epoch = 0; epoch < ppoEpochs; epoch++) {
      const order =
        size >= kept.length
          ? kept.map((_, i) => i)
          : shuffled(kept.length, deriveSeed(o.seed ?? 0, this.#iteration, epoch));
      for (let from = 0; from < order.length; from += size) {
        const batch = order.slice(from, from + size).flatMap((i) => kept[i] ?? []);
        const forward = this.#client.forwardBackward(
          batch.map(({ datum }) => datum),
          lossFn,
          config,
        );
        const stepped = this.#client.optimStep(o.adamParams, {
          gradAccumulationNormalization: o.gradAccumulationNormalization ?? 'none',
        });
        const output = await forward;
        await stepped;
        const drift = policyDrift(
          batch.map(({ rollout }) => rollout),
          output,
          clipLowThreshold,
          clipHighThreshold,
        );
        loss += output.metrics['loss:sum'] ?? NaN;
        trained += batch.length;
        tokens += drift.tokens;
        klSum += drift.klSum;
        clipped += drift.clipped;
        update.steps += 1;
      }
    }
    return { ...update, loss: loss / trained, klMean: klSum / tokens, clipFraction: clipped / tokens };
  }
}
