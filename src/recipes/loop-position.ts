/** Where a loop goes on: reads the client's `loopState`, refuses one of other data, and writes the next one. */
import { BadRequestError } from '../api/errors.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { LoopState } from '../api/types.ts';
import { StudioError } from '../errors.ts';
import { checkBatches, positionOf, totalBatches, type BatchPlan } from './batches.ts';
import { checkSchedule, SCHEDULES, type LrSchedule, type ScheduleName } from './schedules.ts';

export interface LoopOptions {
  batchSize: number;
  /** 1 unless said otherwise. */
  epochs?: number;
  /** 1e-4 unless said otherwise, or that of the checkpoint. */
  learningRate?: number;
  /** `linear` unless said otherwise, or that of the checkpoint. */
  schedule?: ScheduleName;
  warmupSteps?: number;
  /** 0 unless said otherwise, or that of the checkpoint. */
  shuffleSeed?: number;
}

export interface LoopPosition {
  plan: BatchPlan;
  schedule: LrSchedule;
  /** The first batch to train, and how many there are. */
  from: number;
  total: number;
  tokensSeen: number;
  /** What this loop kept under `loopState.extra`; empty at the start. */
  extra: Readonly<Record<string, unknown>>;
  /** The state after `done` batches. */
  state(done: number, step: number, tokensSeen: number, extra?: Record<string, unknown>): LoopState;
}

/** SHA-256 of what is trained on, in lower-case hex. */
export async function dataDigest(data: unknown): Promise<string> {
  const text = JSON.stringify(data, (_, value: unknown) =>
    ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value,
  );
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function mustBe(name: string, saved: unknown, given: unknown): void {
  if (saved === undefined || saved === given) return;
  throw new StudioError({
    code: 'DATA_MISMATCH',
    message: `The checkpoint was trained with ${name} ${JSON.stringify(saved)}, and now it is ${JSON.stringify(given)}.`,
    fix: 'Give the loop the data and settings that it was started with, or start from its weights alone (createTrainingClientFromState).',
  });
}

const isSchedule = (value: unknown): value is ScheduleName =>
  (SCHEDULES as readonly unknown[]).includes(value);

/**
 * The position from the client's loopState, or the beginning. Throws DATA_MISMATCH where the checkpoint was trained on
 * other data or in another order, as its position would mean something else then.
 */
export async function openPosition(
  client: TrainingClient,
  data: readonly unknown[],
  o: LoopOptions,
): Promise<LoopPosition> {
  const saved = client.loopState;
  const savedLr = saved?.lrSchedule;
  const plan = checkBatches({
    items: data.length,
    batchSize: o.batchSize,
    epochs: o.epochs ?? 1,
    shuffleSeed: o.shuffleSeed ?? saved?.shuffleSeed ?? 0,
  });
  const digest = await dataDigest(data);
  mustBe('data of the digest', saved?.dataDigest, digest);
  mustBe('shuffleSeed', saved?.shuffleSeed, plan.shuffleSeed);
  const { extra = {} } = saved ?? {};
  mustBe('batchSize', extra['batchSize'], plan.batchSize);
  const total = totalBatches(plan);
  const schedule = checkSchedule({
    type: o.schedule ?? (isSchedule(savedLr?.type) ? savedLr.type : 'linear'),
    baseLr: o.learningRate ?? savedLr?.baseLr ?? 1e-4,
    warmupSteps: o.warmupSteps ?? savedLr?.warmupSteps ?? 0,
    totalSteps: total,
  });
  const from = saved === null ? 0 : savedBatch(plan, saved);
  return {
    plan,
    schedule,
    from,
    total,
    tokensSeen: saved?.tokensSeen ?? 0,
    extra,
    state: (done, step, tokensSeen, more = {}) => ({
      step,
      ...positionOf(plan, done),
      shuffleSeed: plan.shuffleSeed,
      dataDigest: digest,
      lrSchedule: { ...schedule, position: done },
      tokensSeen,
      extra: { ...extra, ...more, batchSize: plan.batchSize },
    }),
  };
}

function savedBatch(plan: BatchPlan, { epoch, nextBatch, step }: LoopState): number {
  // A loop of the caller's own may keep no more than the step.
  if (epoch === undefined || nextBatch === undefined) return step;
  const from = (totalBatches(plan) / plan.epochs) * epoch + nextBatch;
  if (Number.isSafeInteger(from) && from >= 0) return from;
  throw new BadRequestError({
    message: `The checkpoint's loopState names epoch ${String(epoch)} and batch ${String(nextBatch)}, which are no position.`,
  });
}
