/**
 * Direct preference optimisation on a training client: pairs of answers, of which one is to become likelier and the other
 * less so, held to a reference, which is the weights at the start. Goes on from a checkpoint bit for bit: the checkpoint
 * names the reference, which is kept as a checkpoint of its own.
 */
import type { ApiFuture } from '../api/future.ts';
import { BadRequestError } from '../api/errors.ts';
import { NonFiniteLossError } from '../api/recovery.ts';
import type { ServiceClient } from '../api/service-client.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { AdamParams, Datum, ForwardBackwardOutput, OptimStepResponse } from '../api/types.ts';
import { batchItems } from './batches.ts';
import {
  completionLogprob,
  dpoLoss,
  dpoMetrics,
  pairDatums,
  type DpoMetrics,
  type PairLogprobs,
  type PreferencePair,
} from './dpo-loss.ts';
import { openPosition, type LoopOptions } from './loop-position.ts';
import { lengthOf, logprobsOf, tokensOf } from './loss-figures.ts';
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

export interface DpoStep extends DpoMetrics {
  step: number;
  totalSteps: number;
  learningRate: number;
  tokensSeen: number;
  /** Of the evaluation pairs after the step, at steps that evaluate. */
  evaluation?: DpoMetrics;
}

export interface DpoOptions extends LoopOptions, SavingOptions {
  pairs: readonly PreferencePair[];
  evalPairs?: readonly PreferencePair[];
  evalEvery?: number;
  /** How strongly the policy is held to the reference; 0.1 unless said otherwise. */
  beta?: number;
  /** A training checkpoint to hold to, instead of the weights at the start. */
  referencePath?: string;
  adamParams?: Omit<AdamParams, 'learningRate'>;
  submitAhead?: number;
  onStep?: (step: DpoStep) => void;
  signal?: AbortSignal;
}

export interface DpoResult {
  steps: DpoStep[];
  path: string | null;
  referencePath: string;
}

/** What a training client and a reference client have in common. */
type Scorer = Pick<TrainingClient, 'forward'>;

/** The summed log-probabilities of pairs, a batch at a time. Changes nothing. */
export async function scorePairs(
  scorer: Scorer,
  pairs: readonly PreferencePair[],
  batchSize: number,
): Promise<PairLogprobs[]> {
  const scores: PairLogprobs[] = [];
  for (let from = 0; from < pairs.length; from += batchSize) {
    const data = pairDatums(pairs.slice(from, from + batchSize));
    const output = await scorer.forward(data, 'cross_entropy');
    const sums = data.map((datum, i) => completionLogprob(datum, logprobsOf(output, i, lengthOf(datum))));
    for (let i = 0; i < sums.length; i += 2)
      scores.push({ chosen: sums[i] ?? NaN, rejected: sums[i + 1] ?? NaN });
  }
  return scores;
}

/** Scores pairs with a frozen copy of a checkpoint. */
async function referenceScores(
  service: ServiceClient,
  modelPath: string,
  pairs: readonly PreferencePair[],
  batchSize: number,
): Promise<PairLogprobs[]> {
  const reference = await service.createReferenceClient({ modelPath });
  try {
    return await scorePairs(reference, pairs, batchSize);
  } finally {
    await reference.dispose();
  }
}

interface Submitted {
  data: Datum[];
  learningRate: number;
  forward: ApiFuture<ForwardBackwardOutput>;
  stepped: ApiFuture<OptimStepResponse>;
}

/**
 * Trains to the end of the last epoch. Throws DATA_MISMATCH where the client's checkpoint belongs to other pairs,
 * BadRequestError for a beta that is not above 0, NonFiniteLossError, and the signal's reason.
 */
export async function trainDpo(
  service: ServiceClient,
  client: TrainingClient,
  options: DpoOptions,
): Promise<DpoResult> {
  const { pairs, evalPairs = [], evalEvery = DEFAULT_EVAL_EVERY, beta = 0.1 } = options;
  const { saveEvery = DEFAULT_SAVE_EVERY } = options;
  if (!Number.isFinite(beta) || beta <= 0)
    throw new BadRequestError({ message: `beta is ${String(beta)}; it must be above 0.` });
  const position = await openPosition(client, pairs, options);
  const { plan, schedule, from, total, extra } = position;
  const kept = extra['referencePath'];
  const referencePath =
    options.referencePath ??
    (typeof kept === 'string' ? kept : (await client.saveState(`dpo-reference-${String(client.step)}`)).path);
  const reference = await referenceScores(service, referencePath, [...pairs, ...evalPairs], plan.batchSize);

  let { tokensSeen } = position;
  let done = from;
  const manager = managerFor(client, options, () =>
    position.state(done, done, tokensSeen, { referencePath }),
  );
  const evaluates = (after: number): boolean => evalPairs.length > 0 && isDue(evalEvery, after);
  const evaluate = async (): Promise<DpoMetrics> =>
    dpoMetrics(await scorePairs(client, evalPairs, plan.batchSize), reference.slice(pairs.length), beta);
  const steps: DpoStep[] = [];
  let path: string | null = null;

  await runPipeline<Submitted>({
    from,
    total,
    submitAhead: options.submitAhead ?? 1,
    isBoundary: (after) =>
      isDue(saveEvery, after) || evaluates(after) || savesAnywhere(options, 'evalMargin'),
    signal: options.signal,
    submit: (index) => {
      const items = batchItems(plan, index);
      const data = pairDatums(items.flatMap((item) => pairs[item] ?? []));
      const held = items.flatMap((item) => reference[item] ?? []);
      const learningRate = learningRateAt(schedule, index);
      return {
        data,
        learningRate,
        forward: client.forwardBackwardCustom(data, dpoLoss(held, beta)),
        stepped: client.optimStep({ ...options.adamParams, learningRate }),
      };
    },
    finish: async (index, { data, learningRate, forward, stepped }) => {
      const { metrics } = await forward;
      await stepped;
      done = index + 1;
      tokensSeen += tokensOf(data);
      const figure = (name: string): number => metrics[name] ?? NaN;
      const loss = figure('loss:sum');
      if (!Number.isFinite(loss)) throw new NonFiniteLossError(done, loss);
      const evaluation = evaluates(done) ? await evaluate() : undefined;
      const figures: DpoStep = {
        step: done,
        totalSteps: total,
        learningRate,
        tokensSeen,
        loss,
        accuracy: figure('accuracy'),
        margin: figure('margin'),
        chosenReward: figure('chosenReward'),
        rejectedReward: figure('rejectedReward'),
        ...(evaluation === undefined ? {} : { evaluation }),
      };
      steps.push(figures);
      options.onStep?.(figures);
      const { accuracy, margin } = figures;
      const measured =
        evaluation === undefined ? {} : { evalMargin: evaluation.margin, evalAccuracy: evaluation.accuracy };
      const saved = await manager.maybeSave(done, {
        metrics: { loss, accuracy, margin, learningRate, ...measured },
        tokens: tokensSeen,
      });
      path = saved?.path ?? path;
    },
  });

  if (options.saveFinal !== false && from < total) path = (await manager.saveFinal(done)).path;
  return { steps, path, referencePath };
}
