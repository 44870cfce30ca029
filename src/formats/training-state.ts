/**
 * Everything besides the adapter that a run needs to go on as if it had never stopped. Parts that a saved state may
 * lack are null by intention; a part that is merely missing is an error.
 */
import { z } from 'zod';
import type { Adapter } from './adapter.ts';
import { incompleteState, invalidState, type Moments } from './moments.ts';

export const STATE_VERSION = 1;

// The studio's page forbids running text as code, which zod tries by default in order to be faster.
z.config({ jitless: true });

const count = z.number().int().nonnegative();
const finite = z.number();
const positive = z.number().positive();
const line = z.string().max(1024);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const scalar = z.union([z.number(), z.string().max(10_000), z.boolean(), z.null()]);
const key = z.string().min(1).max(128);

/** The members of state/trainer.json. */
export const trainerSchema = z.strictObject({
  version: z.literal(STATE_VERSION),
  /** Optimizer steps that are done. */
  step: count,
  /** Calls of forwardBackward since the last step; above 0 there are gradients that were not applied. */
  microStep: count,
  /** Passes over the data that are done, with a fraction. */
  epoch: finite.nonnegative(),
  /** Null when whoever drives the training sets the rate of each step. */
  scheduler: z
    .strictObject({
      type: z.enum(['constant', 'linear', 'cosine']),
      params: z.strictObject({ learningRate: finite.nonnegative(), warmupSteps: count, totalSteps: count }),
      /** Steps of the schedule that are done: the next one has this index. */
      position: count,
    })
    .nullable(),
  /** Counter-based randomness has no hidden state: the seed and these counters give every number again. */
  rng: z.strictObject({
    algo: z.literal('philox4x32-10'),
    seed: count,
    counters: z.strictObject({ step: count, micro: count }),
  }),
  /** Null when whoever drives the training hands in the rows. */
  data: z
    .strictObject({
      datasetSha256: sha256,
      rows: count.positive(),
      order: z.enum(['shuffled', 'file']),
      /** Epoch and place in its order of the next row. */
      epoch: count,
      offset: count,
      /** How rows become micro-batches, by name. */
      packing: line,
      tokenizerSha256: sha256,
    })
    .nullable(),
  /** The settings that the run was started with. */
  settings: z.record(key, scalar),
  best: z
    .strictObject({
      metric: line,
      mode: z.enum(['min', 'max']),
      value: finite,
      step: count,
      /** Name of the checkpoint that holds it; null when none was saved. */
      checkpoint: line.nullable(),
    })
    .nullable(),
  /** The last losses, oldest first. */
  lossTail: z.array(z.strictObject({ step: count, loss: finite })).max(10_000),
  /** Tokens that were seen. */
  tokens: count,
  /** Lines of state/metrics.jsonl, so that a shorter one is noticed. */
  metricLines: count,
  /** The user's own. */
  metadata: z.record(key, z.string().max(100_000)),
});

/** What `__metadata__` of state/optimizer.safetensors says, as values. */
export const optimizerSchema = z.strictObject({
  type: z.literal('adamw'),
  /** Steps that the optimizer did: its bias correction goes on from here. */
  step: count,
  betas: z.tuple([finite.min(0).lt(1), finite.min(0).lt(1)]),
  eps: positive,
  weightDecay: finite.nonnegative(),
  /** Largest global gradient norm; 0 = off. */
  gradClip: finite.nonnegative(),
});

/** The figures of one step. No times: a resumed run gives the same figures as one that went through. */
export const metricSchema = z.record(key, scalar).and(z.object({ step: count }));

export type TrainerRecord = z.infer<typeof trainerSchema>;
export type OptimizerRecord = z.infer<typeof optimizerSchema>;
export type MetricRecord = z.infer<typeof metricSchema>;

export interface TrainingState extends Omit<TrainerRecord, 'version' | 'metricLines'> {
  optimizer: OptimizerRecord;
  moments: Moments;
  /** Accumulated and not applied, in the adapter's order; null with none. */
  gradients: Adapter['tensors'] | null;
  /** In the order of their steps. */
  metrics: readonly MetricRecord[];
}

/** Rows that were taken since the run began. */
export function rowsTaken(data: NonNullable<TrainerRecord['data']>): number {
  return data.epoch * data.rows + data.offset;
}

/** Throws STATE_INVALID, by name, where parts contradict each other. */
export function checkConsistent(state: Omit<TrainingState, 'moments'>): void {
  const { step, microStep, epoch, scheduler, rng, data, optimizer, best, gradients } = state;
  const differ = (what: string, value: number, other: string, expected: number): never => {
    throw invalidState(`${what} is ${String(value)}, but ${other} is ${String(expected)}`);
  };
  if (optimizer.step > step) differ('the step of the optimizer', optimizer.step, 'that of the run', step);
  if (scheduler !== null) {
    if (scheduler.position !== optimizer.step) {
      differ('the position of the schedule', scheduler.position, 'the step of the optimizer', optimizer.step);
    }
    if (scheduler.position > scheduler.params.totalSteps) {
      differ(
        'the position of the schedule',
        scheduler.position,
        'its last step',
        scheduler.params.totalSteps,
      );
    }
  }
  if (rng.counters.step !== step) differ('the counter of steps', rng.counters.step, 'the step', step);
  if (rng.counters.micro !== microStep) {
    differ('the counter of micro-steps', rng.counters.micro, 'the micro-step', microStep);
  }
  if (data !== null) {
    if (data.offset >= data.rows)
      differ('the place of the next row', data.offset, 'the number of rows', data.rows);
    const done = rowsTaken(data) / data.rows;
    if (Math.abs(done - epoch) > 1e-6 * Math.max(1, done))
      differ('the epoch', epoch, 'the data position', done);
  }
  if (microStep > 0 && gradients === null) {
    throw incompleteState(`The state is of micro-step ${String(microStep)}, but its gradients are missing`);
  }
  if (microStep === 0 && gradients !== null) {
    throw invalidState('There are gradients that were not applied, but the micro-step is 0');
  }
  if (best !== null && best.step > step) differ('the step of the best value', best.step, 'the step', step);
  checkSteps('lossTail', state.lossTail, step);
  checkSteps('metrics', state.metrics, step);
}

function checkSteps(what: string, records: readonly { step: number }[], last: number): void {
  let before = -1;
  for (const { step } of records) {
    if (step < before) throw invalidState(`${what} goes back from step ${String(before)} to ${String(step)}`);
    if (step > last)
      throw invalidState(`${what} goes on to step ${String(step)}, the run to ${String(last)}`);
    before = step;
  }
}

/** A state with the parts that the training loop cannot go on without. */
export type LoopState = TrainingState & {
  scheduler: NonNullable<TrainingState['scheduler']>;
  data: NonNullable<TrainingState['data']>;
};

/** The state as the training loop needs it. Throws STATE_INCOMPLETE by the part that it lacks. */
export function loopState(state: TrainingState): LoopState {
  const { scheduler, data } = state;
  if (scheduler === null) throw incompleteState('The state has no learning-rate schedule');
  if (data === null) throw incompleteState('The state has no data position');
  return { ...state, scheduler, data };
}
