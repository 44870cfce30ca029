/** The learning rate of each step: linear 1 − t/T, cosine ½(1 + cos πt/T) or constant, after a warm-up of none. Pure. */
import { BadRequestError } from '../api/errors.ts';

export const SCHEDULES = ['linear', 'cosine', 'constant'] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

export interface LrSchedule {
  type: ScheduleName;
  /** The highest rate. */
  baseLr: number;
  warmupSteps: number;
  /** Steps of the whole run. */
  totalSteps: number;
}

/** The rate of step t, counted from 0. During the warm-up it rises from 0 by equal amounts, as transformers does it. */
export function learningRateAt({ type, baseLr, warmupSteps, totalSteps }: LrSchedule, t: number): number {
  if (t < warmupSteps) return (baseLr * t) / warmupSteps;
  const done = Math.min(1, (t - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
  switch (type) {
    case 'linear':
      return baseLr * (1 - done);
    case 'cosine':
      return baseLr * 0.5 * (1 + Math.cos(Math.PI * done));
    case 'constant':
      return baseLr;
  }
}

/** Throws BadRequestError for a schedule that is none. */
export function checkSchedule(schedule: LrSchedule): LrSchedule {
  const { type, baseLr, warmupSteps } = schedule;
  const fail = (name: string, value: unknown, words: string): never => {
    throw new BadRequestError({ message: `${name} is ${String(value)}; it must be ${words}.` });
  };
  if (!SCHEDULES.includes(type)) fail('schedule', type, `one of ${SCHEDULES.join(', ')}`);
  if (!Number.isFinite(baseLr) || baseLr < 0) fail('learningRate', baseLr, 'at least 0');
  if (!Number.isInteger(warmupSteps) || warmupSteps < 0)
    fail('warmupSteps', warmupSteps, 'a whole number from 0');
  return schedule;
}
