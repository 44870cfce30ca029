/**
 * Supervised fine-tuning on a training client. The batch after the present one is submitted before the present one is
 * awaited; each so many steps it is evaluated and saved; a client that was loaded from a checkpoint goes on where the
 * checkpoint stands, with the bits that a run without a stop would have.
 */
import type { ApiFuture } from '../api/future.ts';
import { NonFiniteLossError } from '../api/recovery.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { OptimStepOptions } from '../api/training-options.ts';
import type { AdamParams, Datum, ForwardBackwardOutput, OptimStepResponse } from '../api/types.ts';
import { batchItems } from './batches.ts';
import { openPosition, type LoopOptions } from './loop-position.ts';
import { meanNll, tokensOf, weightedNll } from './loss-figures.ts';
import { runPipeline } from './pipeline.ts';
import {
  DEFAULT_EVAL_EVERY,
  DEFAULT_SAVE_EVERY,
  isDue,
  managerFor,
  savesAnywhere,
  type SavingOptions,
} from './saving.ts';
import { learningRateAt } from './schedules.ts';

export interface SftStep {
  /** Batches so far, and of the whole run. */
  step: number;
  totalSteps: number;
  epoch: number;
  /** Mean negative log-likelihood of the trained tokens before the step, by weight. */
  loss: number;
  learningRate: number;
  tokensSeen: number;
  /** What the backend says of the step, such as `gradNorm`. */
  metrics: Readonly<Record<string, number>>;
  /** Of the evaluation data after the step, at steps that evaluate. */
  evalLoss?: number;
}

export interface SftOptions extends LoopOptions, SavingOptions {
  data: readonly Datum[];
  evalData?: readonly Datum[];
  /** Steps between evaluations; 10 unless said otherwise, 0 is off. */
  evalEvery?: number;
  /** Everything but the learning rate. */
  adamParams?: Omit<AdamParams, 'learningRate'>;
  gradAccumulationNormalization?: OptimStepOptions['gradAccumulationNormalization'];
  /** Batches submitted before the present one is awaited; 1 unless said otherwise. */
  submitAhead?: number;
  onStep?: (step: SftStep) => void;
  signal?: AbortSignal;
}

export interface SftResult {
  steps: SftStep[];
  /** The last checkpoint; null where none was saved. */
  path: string | null;
}

interface Submitted {
  data: Datum[];
  learningRate: number;
  forward: ApiFuture<ForwardBackwardOutput>;
  stepped: ApiFuture<OptimStepResponse>;
}

/** The mean negative log-likelihood of data, a batch at a time. Changes nothing. */
export async function evaluateNll(
  client: TrainingClient,
  data: readonly Datum[],
  batchSize: number,
): Promise<number> {
  const total = { sum: 0, weight: 0 };
  for (let from = 0; from < data.length; from += batchSize) {
    const batch = data.slice(from, from + batchSize);
    const { sum, weight } = weightedNll(batch, await client.forward(batch, 'cross_entropy'));
    total.sum += sum;
    total.weight += weight;
  }
  return meanNll(total);
}

/**
 * Trains to the end of the last epoch. Throws DATA_MISMATCH where the client's checkpoint belongs to other data,
 * NonFiniteLossError for a loss that is no number, and the signal's reason.
 */
export async function trainSft(client: TrainingClient, options: SftOptions): Promise<SftResult> {
  const { data, evalData = [], evalEvery = DEFAULT_EVAL_EVERY, saveEvery = DEFAULT_SAVE_EVERY } = options;
  const position = await openPosition(client, data, options);
  const { plan, schedule, from, total } = position;
  let { tokensSeen } = position;
  let done = from;
  const manager = managerFor(client, options, () => position.state(done, done, tokensSeen));
  const evaluates = (after: number): boolean => evalData.length > 0 && isDue(evalEvery, after);
  const steps: SftStep[] = [];
  let path: string | null = null;

  await runPipeline<Submitted>({
    from,
    total,
    submitAhead: options.submitAhead ?? 1,
    isBoundary: (after) => isDue(saveEvery, after) || evaluates(after) || savesAnywhere(options, 'evalLoss'),
    signal: options.signal,
    submit: (index) => {
      const batch = batchItems(plan, index).flatMap((item) => data[item] ?? []);
      const learningRate = learningRateAt(schedule, index);
      return {
        data: batch,
        learningRate,
        forward: client.forwardBackward(batch, 'cross_entropy'),
        stepped: client.optimStep(
          { ...options.adamParams, learningRate },
          { gradAccumulationNormalization: options.gradAccumulationNormalization ?? 'none' },
        ),
      };
    },
    finish: async (index, { data: batch, learningRate, forward, stepped }) => {
      const loss = meanNll(weightedNll(batch, await forward));
      const { metrics = {} } = await stepped;
      done = index + 1;
      tokensSeen += tokensOf(batch);
      if (!Number.isFinite(loss)) throw new NonFiniteLossError(done, loss);
      const evalLoss = evaluates(done) ? await evaluateNll(client, evalData, plan.batchSize) : undefined;
      const figures: SftStep = {
        step: done,
        totalSteps: total,
        epoch: index / (total / plan.epochs),
        loss,
        learningRate,
        tokensSeen,
        metrics,
        ...(evalLoss === undefined ? {} : { evalLoss }),
      };
      steps.push(figures);
      options.onStep?.(figures);
      const shown = { loss, learningRate, ...(evalLoss === undefined ? {} : { evalLoss }) };
      const saved = await manager.maybeSave(done, { metrics: shown, tokens: tokensSeen });
      path = saved?.path ?? path;
    },
  });

  if (options.saveFinal !== false && from < total) {
    const last = steps.at(-1);
    const final = await manager.saveFinal(done, { metrics: last === undefined ? {} : { loss: last.loss } });
    path = final.path;
  }
  return { steps, path };
}
