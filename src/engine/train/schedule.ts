/** Learning-rate schedules, as `get_{constant,linear,cosine}_schedule_with_warmup` of transformers: pure functions of the step. */
import type { ScheduleName } from './types.ts';

export interface Schedule {
  name: ScheduleName;
  warmupSteps: number;
  /** Steps of the whole run. */
  totalSteps: number;
}

/** The factor on the peak rate that step `index` uses; the first step has index 0. */
export function scheduleFactor({ name, warmupSteps, totalSteps }: Schedule, index: number): number {
  if (index < warmupSteps) return index / Math.max(1, warmupSteps);
  const decaySteps = Math.max(1, totalSteps - warmupSteps);
  switch (name) {
    case 'constant':
      return 1;
    case 'linear':
      return Math.max(0, (totalSteps - index) / decaySteps);
    case 'cosine':
      return Math.max(0, 0.5 * (1 + Math.cos((Math.PI * (index - warmupSteps)) / decaySteps)));
  }
}
