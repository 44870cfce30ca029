/** The checkpoints of a loop: what can be asked for, and the manager that keeps them. */
import { CheckpointManager } from '../api/checkpoint-manager.ts';
import type { ManagerOptions } from '../api/manager-options.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { LoopState } from '../api/types.ts';

export interface SavingOptions extends Pick<
  ManagerOptions,
  'kind' | 'maxCheckpoints' | 'keepEvery' | 'saveBest' | 'periodicTtlSeconds' | 'metadata' | 'trackers'
> {
  /** Steps between checkpoints; 20 unless said otherwise, 0 is off. */
  saveEvery?: number;
  /** Save under `final` at the end; true unless said otherwise. */
  saveFinal?: boolean;
}

export const DEFAULT_SAVE_EVERY = 20;
export const DEFAULT_EVAL_EVERY = 10;

/** The manager of a loop. `loopState` is read at the moment of each save. */
export function managerFor(
  client: TrainingClient,
  options: SavingOptions,
  loopState: () => LoopState,
): CheckpointManager {
  const manager = new CheckpointManager(client, { saveEvery: DEFAULT_SAVE_EVERY, ...options, loopState });
  manager.restoreLastSavedTokens();
  return manager;
}

/** Whether it is time after so many steps; 0 is never. */
export const isDue = (every: number, done: number): boolean => every > 0 && done > 0 && done % every === 0;

/** Whether a best one can be saved after any step: by a figure that is there at each, not only where it is evaluated. */
export const savesAnywhere = ({ saveBest }: SavingOptions, evaluated: string): boolean =>
  saveBest !== undefined && saveBest.metric !== evaluated;
