/**
 * Reinforcement learning on a training client: each iteration samples answers in groups from the present weights, rewards
 * them, and trains on how much better each is than its group. Goes on from a checkpoint bit for bit.
 */
import { NonFiniteLossError } from '../api/recovery.ts';
import type { ApiFuture } from '../api/future.ts';
import type { Rollout } from '../api/ppo-math.ts';
import { PPOTrainer, type PPOOptions, type PPOUpdate } from '../api/ppo-trainer.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { AdamParams } from '../api/types.ts';
import { batchItems } from './batches.ts';
import { openPosition, type LoopOptions } from './loop-position.ts';
import { runPipeline } from './pipeline.ts';
import { DEFAULT_SAVE_EVERY, isDue, managerFor, type SavingOptions } from './saving.ts';
import { learningRateAt } from './schedules.ts';

export interface RlStep extends PPOUpdate {
  /** Iterations so far, and of the whole run; `steps` are the optimizer steps of this one. */
  iteration: number;
  totalIterations: number;
  learningRate: number;
  /** Tokens drawn so far. */
  tokensSeen: number;
}

/** What an iteration drew and what it was given for it, in one order. */
export interface RlRollouts {
  rollouts: readonly Rollout[];
  rewards: readonly number[];
}

export interface RlOptions
  extends
    Omit<LoopOptions, 'batchSize'>,
    SavingOptions,
    Omit<PPOOptions, 'rewardFn' | 'adamParams' | 'reference' | 'maxStepsOffPolicy'> {
  prompts: readonly (readonly number[])[];
  /** `prompt` is the prompt's place in `prompts`. */
  rewardFn: (rollout: Rollout, prompt: number) => number | Promise<number>;
  /** Prompts of an iteration, each with `groupSize` answers. */
  promptsPerIteration: number;
  adamParams?: Omit<AdamParams, 'learningRate'>;
  /** What KL is measured against, where `klCoef` is above 0: the base model, unless said otherwise, or the start. */
  reference?: 'base' | 'start';
  /**
   * 0, unless said otherwise: each iteration samples from the weights that the last one left. With 1 the next answers
   * are drawn while the present ones are trained on, and are one update old.
   */
  submitAhead?: 0 | 1;
  onStep?: (step: RlStep, drawn: RlRollouts) => void;
  signal?: AbortSignal;
}

export interface RlResult {
  steps: RlStep[];
  path: string | null;
}

/**
 * Where KL is measured against the weights at the start, they are kept as a sampler checkpoint that later checkpoints
 * name: a resumed run must not take its own weights for them.
 */
async function referenceOf(
  client: TrainingClient,
  { klCoef = 0, reference = 'base', referencePath }: RlOptions,
  kept: unknown,
): Promise<Pick<PPOOptions, 'reference' | 'referencePath'>> {
  if (klCoef === 0) return {};
  if (referencePath !== undefined) return { referencePath };
  if (typeof kept === 'string') return { referencePath: kept };
  if (reference === 'base') return { reference };
  const name = `rl-reference-${String(client.step)}`;
  return { referencePath: (await client.saveWeightsForSampler(name)).path };
}

/**
 * Trains to the end of the last epoch over the prompts. Throws DATA_MISMATCH where the client's checkpoint belongs to
 * other prompts, what the reward function throws, NonFiniteLossError, and the signal's reason.
 */
export async function trainRl(client: TrainingClient, options: RlOptions): Promise<RlResult> {
  const { prompts, rewardFn, submitAhead = 0, saveEvery = DEFAULT_SAVE_EVERY } = options;
  const position = await openPosition(client, prompts, {
    schedule: 'constant',
    ...options,
    batchSize: options.promptsPerIteration,
  });
  const { plan, schedule, from, total, extra } = position;
  const held = await referenceOf(client, options, extra['referencePath']);
  let { tokensSeen } = position;
  let done = from;
  let items: number[] = [];
  const { minibatchSize, ppoEpochs = 1, groupSize = 4 } = options;
  const perIteration = plan.batchSize * groupSize;
  const trainer = PPOTrainer.fromTrainingClient(client, {
    ...options,
    ...held,
    rewardFn: (rollout) => rewardFn(rollout, items[rollout.promptIndex] ?? -1),
    // Read at each update, so the rate can follow a schedule.
    get adamParams() {
      return { ...options.adamParams, learningRate: learningRateAt(schedule, done) };
    },
    maxStepsOffPolicy: submitAhead * ppoEpochs * Math.ceil(perIteration / (minibatchSize ?? perIteration)),
  });
  const state = () => position.state(done, client.step, tokensSeen, keptReference(held));
  const manager = managerFor(client, { ...options, saveEvery: 0 }, state);
  const steps: RlStep[] = [];
  let path: string | null = null;

  try {
    await runPipeline<{ items: number[]; drawing: ApiFuture<Rollout[]> }>({
      from,
      total,
      submitAhead,
      isBoundary: (after) => isDue(saveEvery, after) || options.saveBest !== undefined,
      signal: options.signal,
      submit: (index) => {
        const wanted = batchItems(plan, index);
        return { items: wanted, drawing: trainer.collectRollouts(wanted.map((item) => prompts[item] ?? [])) };
      },
      finish: async (index, submitted) => {
        const rollouts = await submitted.drawing;
        items = submitted.items;
        const rewards = await trainer.computeRewards(rollouts);
        const learningRate = learningRateAt(schedule, index);
        const update = await trainer.ppoUpdate(rollouts, rewards);
        done = index + 1;
        tokensSeen += rollouts.reduce((n, { tokens }) => n + tokens.length, 0);
        // An iteration in which all groups were dropped made no step and has no loss.
        if (update.steps > 0 && !Number.isFinite(update.loss))
          throw new NonFiniteLossError(done, update.loss);
        const figures: RlStep = {
          ...update,
          iteration: done,
          totalIterations: total,
          learningRate,
          tokensSeen,
        };
        steps.push(figures);
        options.onStep?.(figures, { rollouts, rewards });
        const metrics = { meanReward: update.meanReward, klMean: update.klMean, learningRate };
        const progress = { metrics, tokens: tokensSeen };
        let saved = await manager.maybeSave(client.step, progress);
        if (saved === null && isDue(saveEvery, done))
          saved = await manager.savePeriodic(client.step, progress);
        path = saved?.path ?? path;
      },
    });

    if (options.saveFinal !== false && from < total) path = (await manager.saveFinal(client.step)).path;
  } finally {
    await trainer.close();
  }
  return { steps, path };
}

const keptReference = ({ referencePath }: Pick<PPOOptions, 'referencePath'>): Record<string, unknown> =>
  referencePath === undefined ? {} : { referencePath };
