/**
 * Which schedule a HuggingFace Trainer followed. Its files say where the schedule is and which rates it gave, not what
 * it looks like; that is in training_args.bin, which is code and not read.
 */
import { scheduleFactor, type Schedule } from '../engine/index.ts';
import type { HfTrainerRead } from '../formats/hf-trainer.ts';

export type ScheduleFacts = Pick<
  HfTrainerRead,
  'optimizerStep' | 'maxSteps' | 'learningRate' | 'peakLearningRate' | 'log'
>;

const NAMES = ['constant', 'linear', 'cosine'] as const;
/** Rates that both programs compute by the same formula differ by rounding alone. */
const TOLERANCE = 1e-9;
/** Enough of the log, and of what is to come, to tell schedules apart. */
const MOST_POINTS = 500;

/** At most `MOST_POINTS` of a list, evenly spread, the first and the last among them. */
function spread<T>(list: readonly T[]): T[] {
  const step = Math.max(1, (list.length - 1) / (MOST_POINTS - 1));
  const count = Math.min(list.length, MOST_POINTS);
  return Array.from({ length: count }, (_, i) => list[Math.round(i * step)] ?? []).flat() as T[];
}

/**
 * The schedule that gives all rates that are known, with its warm-up; null when none does or when several do that would
 * go on differently; of those `wanted` chooses, as far as it says.
 */
export function fitSchedule(
  facts: ScheduleFacts,
  wanted?: Pick<Schedule, 'name' | 'warmupSteps'>,
): Schedule | null {
  const { optimizerStep, maxSteps, learningRate, peakLearningRate, log } = facts;
  const gives = (schedule: Schedule, index: number, rate: number): boolean =>
    Math.abs(peakLearningRate * scheduleFactor(schedule, index) - rate) <= TOLERANCE * peakLearningRate;
  const logged = spread(
    log.flatMap(({ step, learning_rate: rate }) => (rate === undefined || step < 1 ? [] : [{ step, rate }])),
  );
  // transformers 5 logs the rate of the step, older versions that of the step after it.
  const fitsLog = (schedule: Schedule): boolean =>
    [1, 0].some((back) => logged.every(({ step, rate }) => gives(schedule, step - back, rate)));
  const fitting: Schedule[] = [];
  for (const name of NAMES) {
    for (let warmupSteps = 0; warmupSteps <= maxSteps; warmupSteps++) {
      const schedule: Schedule = { name, warmupSteps, totalSteps: maxSteps };
      const asked = wanted === undefined || (wanted.name === name && wanted.warmupSteps === warmupSteps);
      if (asked && gives(schedule, optimizerStep, learningRate) && fitsLog(schedule)) fitting.push(schedule);
    }
  }
  const [first, ...others] = fitting;
  if (first === undefined) return null;
  const ahead = spread(Array.from({ length: maxSteps - optimizerStep }, (_, i) => optimizerStep + i));
  const same = (other: Schedule): boolean =>
    ahead.every((index) => gives(other, index, peakLearningRate * scheduleFactor(first, index)));
  return others.every(same) ? first : null;
}
