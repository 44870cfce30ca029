/** The supervised training loop: rows to micro-batches, schedule, optimizer steps, evaluation, metrics. */
import { StudioError } from '../../errors.ts';
import type { TokenizedExample } from '../../data/types.ts';
import { checkAdamParams, refuseOption } from './adam-params.ts';
import { groupByTokens, inputLength, packExamples, RowCursor, targetCount } from './batcher.ts';
import { scheduleFactor } from './schedule.ts';
import { refuseNonFinite, type TrainingSession } from './session.ts';
import type { AdamParams, FinetuneConfig, StepMetrics } from './types.ts';

export interface FinetuneData {
  train: readonly TokenizedExample[];
  evaluation: readonly TokenizedExample[];
}

/** How far a run is: with the session's weights and moments, all that going on needs. */
export interface RunPosition {
  /** Optimizer steps that are done. */
  step: number;
  /** Rows that were taken, over all epochs: the next row is this one. */
  rowsTaken: number;
}

/** What the loop tells and asks while it runs. */
export interface FinetuneHooks {
  /** After every step; awaited, so a slow listener slows the run and never piles up, and may save what the session holds. */
  onStep(metrics: StepMetrics, position: RunPosition): void | Promise<void>;
  /** Loss over the evaluation rows before the first step (step 0); later ones come with the metrics. */
  onEvaluation?(step: number, loss: number): void;
  /** Ends the run after the step under way. */
  signal?: AbortSignal;
  /** Awaited before each step: a pause holds the run here. */
  beforeStep?(step: number): Promise<void>;
}

export interface FinetuneResult {
  steps: number;
  /** Whether the run was ended before its last step. */
  stopped: boolean;
  metrics: StepMetrics[];
  evalLoss: number | null;
}

/** Tokens that one micro-batch may have; more rows make more micro-batches of the same step. */
const LARGEST_MICRO_BATCH = 512;

/** Optimizer steps of a run. */
export function totalSteps(config: FinetuneConfig, rows: number): number {
  if (config.steps !== null) return config.steps;
  return Math.max(1, Math.ceil((config.epochs * rows) / (config.batchSize * config.gradAccumulation)));
}

/** The most tokens that a micro-batch of this data will have: what the session is made for. */
export function microBatchTokens(data: FinetuneData, config: FinetuneConfig): number {
  const lengths = [...data.train, ...data.evaluation].map(inputLength);
  const longest = lengths.reduce((most, length) => Math.max(most, length), 1);
  const whole = longest * Math.min(config.batchSize, Math.max(1, data.train.length));
  return Math.max(longest, Math.min(whole, LARGEST_MICRO_BATCH));
}

/** Checks the settings that have no form of their own. Throws OPTION_INVALID or DATA_EMPTY. */
export function checkFinetune(config: FinetuneConfig, data: FinetuneData): void {
  const whole: [string, number, number][] = [
    ['steps', config.steps ?? 1, 1],
    ['batch size', config.batchSize, 1],
    ['gradient accumulation', config.gradAccumulation, 1],
    ['warm-up steps', config.warmupSteps, 0],
    ['seed', config.seed, 0],
    ['evaluation interval', config.evalEvery, 0],
  ];
  for (const [name, value, least] of whole) {
    if (!Number.isSafeInteger(value) || value < least)
      refuseOption(name, value, `a whole number from ${least}`);
  }
  checkAdamParams(config);
  if (!Number.isFinite(config.epochs) || config.epochs <= 0)
    refuseOption('epochs', config.epochs, 'a number above 0');
  if (data.train.length === 0) {
    throw new StudioError({
      code: 'DATA_EMPTY',
      message: 'There are no rows to train on.',
      fix: 'Choose data with at least one row.',
    });
  }
}

/** A norm over values that overflow is zero, and so is everything behind it: the loss stays finite, and nothing is learned. */
function refuseNoGradient(step: number, lr: number, loss: number): never {
  throw new StudioError({
    code: 'LOSS_NOT_FINITE',
    message: `Step ${step} gave a gradient of exactly 0 at a loss of ${loss} and the learning rate ${lr}: numbers inside the model have grown beyond float32.`,
    fix: 'Start again with a smaller learning rate, or turn gradient clipping on.',
  });
}

/** The rows of one optimizer step. */
export interface StepBatch {
  examples: readonly TokenizedExample[];
  /** Of each trained target in the loss: 1 / trained tokens for a mean. */
  weight: number;
  /** Of the dropout; the step is 1 for the first. */
  seed: number;
  step: number;
  adam: AdamParams;
}

/** What computes the steps of the loop: a session itself (`sessionTrainer`), or a client of the programming interface. */
export interface Trainer {
  /** Gradient and optimizer step. Gives the log-probability of each trained target in order, and the gradient's norm. */
  step(batch: StepBatch): Promise<{ logprobs: readonly ArrayLike<number>[]; gradNorm: number }>;
  /** Mean loss per trained token, without gradients; until the signal. */
  evaluate(
    examples: readonly TokenizedExample[],
    signal?: AbortSignal,
  ): Promise<{ loss: number; trainedTokens: number }>;
  /** GPU bytes in use. */
  memoryBytes(): number;
}

/** Trains on a session directly. */
export function sessionTrainer(session: TrainingSession): Trainer {
  return {
    step: async ({ examples, weight, seed, step, adam }) => {
      // All of the step is queued before any of it is awaited: the GPU does not wait for the losses to be read.
      const micro = groupByTokens(examples, session.maxTokens).map((group, index) =>
        session.forwardBackward(packExamples(group, weight), { seed, step, micro: index }),
      );
      const norm = session.optimStep(step, adam);
      const [logprobs, gradNorm] = await Promise.all([Promise.all(micro), norm]);
      return { logprobs, gradNorm };
    },
    evaluate: (examples, signal) => evaluateLoss(session, examples, 1, signal),
    memoryBytes: () => session.model.pool.bytes,
  };
}

/** Mean loss per trained token over rows, without gradients. */
export async function evaluateLoss(
  session: TrainingSession,
  examples: readonly TokenizedExample[],
  adapterScale = 1,
  signal?: AbortSignal,
): Promise<{ loss: number; trainedTokens: number }> {
  let sum = 0;
  let trainedTokens = 0;
  for (const group of groupByTokens(examples, session.maxTokens)) {
    if (signal?.aborted) break;
    const logprobs = await session.evaluate(packExamples(group, 1), adapterScale);
    for (const logprob of logprobs) sum -= logprob;
    trainedTokens += logprobs.length;
  }
  return { loss: sum / Math.max(1, trainedTokens), trainedTokens };
}

/**
 * Runs the loop to its end or until the signal, from the beginning or from a position (with a trainer that holds that
 * position's weights and moments, the same bits as without the stop). Throws LOSS_NOT_FINITE; the adapter then holds the
 * last good step.
 */
export async function finetune(
  trainer: Trainer,
  data: FinetuneData,
  config: FinetuneConfig,
  hooks: FinetuneHooks,
  from: RunPosition = { step: 0, rowsTaken: 0 },
): Promise<FinetuneResult> {
  checkFinetune(config, data);
  const steps = totalSteps(config, data.train.length);
  const cursor = new RowCursor(data.train.length, config.seed, config.shuffle, from.rowsTaken);
  const clock = new RunClock();
  const metrics: StepMetrics[] = [];
  let evalLoss: number | null = null;
  if (from.step === 0 && data.evaluation.length > 0 && hooks.onEvaluation) {
    evalLoss = (await trainer.evaluate(data.evaluation, hooks.signal)).loss;
    hooks.onEvaluation(0, evalLoss);
  }
  for (let step = from.step + 1; step <= steps; step++) {
    await clock.outside(() => hooks.beforeStep?.(step));
    if (hooks.signal?.aborted) return { steps: step - 1, stopped: true, metrics, evalLoss };
    const done = await clock.inside(() => trainStep(trainer, data.train, cursor, config, { step, steps }));
    const evaluateNow = step === steps || (config.evalEvery > 0 && step % config.evalEvery === 0);
    if (data.evaluation.length > 0 && evaluateNow) {
      evalLoss = (await trainer.evaluate(data.evaluation, hooks.signal)).loss;
      done.evalLoss = evalLoss;
    }
    const entry: StepMetrics = {
      ...done,
      seconds: clock.seconds,
      tokensPerSecond: done.tokens / Math.max(1e-9, clock.last),
    };
    metrics.push(entry);
    await clock.outside(() => hooks.onStep(entry, { step, rowsTaken: cursor.taken }));
  }
  return { steps, stopped: false, metrics, evalLoss };
}

type StepResult = Omit<StepMetrics, 'seconds' | 'tokensPerSecond'>;

/** One optimizer step: `gradAccumulation` batches of `batchSize` rows, the loss a mean over all their trained tokens. */
async function trainStep(
  trainer: Trainer,
  rows: readonly TokenizedExample[],
  cursor: RowCursor,
  config: FinetuneConfig,
  { step, steps }: { step: number; steps: number },
): Promise<StepResult> {
  const indices = cursor.take(config.batchSize * config.gradAccumulation);
  const examples = indices.flatMap((index) => rows[index] ?? []);
  const trainedTokens = examples.reduce((sum, example) => sum + targetCount(example), 0);
  const schedule = { name: config.schedule, warmupSteps: config.warmupSteps, totalSteps: steps };
  const lr = config.learningRate * scheduleFactor(schedule, step - 1);
  const weight = 1 / Math.max(1, trainedTokens);
  const adam = { ...config, learningRate: lr };
  const { logprobs: parts, gradNorm } = await trainer.step({
    examples,
    weight,
    seed: config.seed,
    step,
    adam,
  });
  let loss = 0;
  for (const part of parts) for (const logprob of Array.from(part)) loss -= logprob * weight;
  if (!Number.isFinite(loss) || !Number.isFinite(gradNorm))
    refuseNonFinite({ step, rows: indices.map((index) => index + 1), lr, loss, gradNorm });
  if (gradNorm === 0 && loss > 0) refuseNoGradient(step, lr, loss);
  return {
    step,
    epoch: cursor.epoch,
    loss,
    lr,
    gradNorm,
    tokens: examples.reduce((sum, { inputIds }) => sum + inputIds.length, 0),
    trainedTokens,
    memoryBytes: trainer.memoryBytes(),
  };
}

/** Seconds of training, with pauses and samples left out. */
class RunClock {
  seconds = 0;
  /** Seconds of the last step. */
  last = 0;

  async inside<T>(work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await work();
    this.last = (performance.now() - started) / 1000;
    this.seconds += this.last;
    return result;
  }

  /** Time that does not count. */
  async outside(work: () => void | Promise<void> | undefined): Promise<void> {
    await work();
  }
}
