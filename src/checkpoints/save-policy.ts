/** When a run saves itself, and under which name. Pure: the same steps and times give the same answer. */
import type { BestRule } from '../run/run-log.ts';
import type { RetentionPolicy } from '../storage/retention.ts';

export interface SavePolicy {
  /** Save every so many steps; 0 is off. */
  everySteps: number;
  /** Save when so many minutes have passed since the last save; 0 is off. */
  everyMinutes: number;
  /** Keep one rolling checkpoint, renewed every so many steps; 0 is off. */
  rollingSteps: number;
  /** Save when the figure is better than ever; null is off. */
  best: BestRule | null;
  /** Save when the run ends. */
  final: boolean;
  /** What may go after each save. */
  retention: RetentionPolicy;
  /** Time to live of what is saved by rule; null has no limit. The final one and those saved by hand have none. */
  ttlSeconds: number | null;
  /** Store the adapter as its difference to the run's last whole checkpoint, where that is smaller. */
  delta: boolean;
}

/** The defaults everywhere: by time, the best, and the end. */
export const DEFAULT_SAVE_POLICY: Readonly<SavePolicy> = {
  everySteps: 0,
  everyMinutes: 5,
  rollingSteps: 0,
  best: { metric: 'evalLoss', direction: 'min' },
  final: true,
  retention: { keepLatest: 3, keepBest: { count: 1, metric: 'evalLoss', direction: 'min' } },
  ttlSeconds: null,
  delta: false,
};

/** Why a checkpoint is saved: by rule, by what happens to the page or the run, or by a person. */
export type SaveTrigger =
  | 'steps'
  | 'minutes'
  | 'rolling'
  | 'best'
  | 'pause'
  | 'hidden'
  | 'interrupt'
  | 'stopped'
  | 'manual'
  | 'final';

/** The rules that call for a save after a step, the one that names it first; empty when there is none. */
export function dueTriggers(
  policy: SavePolicy,
  now: { step: number; isBest: boolean; minutesSinceSave: number },
): SaveTrigger[] {
  const { everySteps, everyMinutes, rollingSteps, best } = policy;
  const due: SaveTrigger[] = [];
  if (best !== null && now.isBest) due.push('best');
  if (everySteps > 0 && now.step % everySteps === 0) due.push('steps');
  if (everyMinutes > 0 && now.minutesSinceSave >= everyMinutes) due.push('minutes');
  if (rollingSteps > 0 && now.step % rollingSteps === 0) due.push('rolling');
  return due;
}

/** `step-000500`, `best-000500`, `rolling-000500`; the last checkpoint of a run is `final`. */
export function checkpointName(trigger: SaveTrigger, step: number): string {
  if (trigger === 'final') return 'final';
  const kind = trigger === 'best' || trigger === 'rolling' ? trigger : 'step';
  return `${kind}-${String(step).padStart(6, '0')}`;
}
