/** Which items a step trains on: epochs in a seeded order, cut into batches. Pure, so a resumed loop cuts the same. */
import { BadRequestError } from '../api/errors.ts';
import { deriveSeed, shuffled } from '../api/ppo-math.ts';

export interface BatchPlan {
  items: number;
  batchSize: number;
  epochs: number;
  shuffleSeed: number;
}

export interface BatchPosition {
  epoch: number;
  /** The batch of that epoch. */
  nextBatch: number;
}

/** Throws BadRequestError for a plan that trains nothing. */
export function checkBatches(plan: BatchPlan): BatchPlan {
  const from = { items: 1, batchSize: 1, epochs: 1, shuffleSeed: 0 };
  for (const name of ['items', 'batchSize', 'epochs', 'shuffleSeed'] as const) {
    if (Number.isSafeInteger(plan[name]) && plan[name] >= from[name]) continue;
    const what = name === 'items' ? 'The number of data' : name;
    throw new BadRequestError({
      message: `${what} is ${String(plan[name])}; it must be a whole number from ${String(from[name])}.`,
    });
  }
  return plan;
}

/** Batches of an epoch; the last can be smaller. */
export const batchesPerEpoch = ({ items, batchSize }: BatchPlan): number => Math.ceil(items / batchSize);

/** Batches of the whole run. */
export const totalBatches = (plan: BatchPlan): number => plan.epochs * batchesPerEpoch(plan);

/** Where batch number `index` of the run lies. */
export function positionOf(plan: BatchPlan, index: number): BatchPosition {
  const perEpoch = batchesPerEpoch(plan);
  return { epoch: Math.floor(index / perEpoch), nextBatch: index % perEpoch };
}

/** The items of batch number `index` of the run. Each epoch has an order of its own. */
export function batchItems(plan: BatchPlan, index: number): number[] {
  const { epoch, nextBatch } = positionOf(plan, index);
  const order = shuffled(plan.items, deriveSeed(plan.shuffleSeed, epoch));
  return order.slice(nextBatch * plan.batchSize, (nextBatch + 1) * plan.batchSize);
}
