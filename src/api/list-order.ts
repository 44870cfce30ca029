/** The order of lists: by step, then in the order of saving; never by the text of times, whose precision varies. */
import type { Checkpoint } from './types.ts';

export function sortCheckpoints(
  checkpoints: readonly Checkpoint[],
  order: 'asc' | 'desc' = 'asc',
): Checkpoint[] {
  const sign = order === 'asc' ? 1 : -1;
  return [...checkpoints].sort(
    // Without a step (servers keep none) the order of saving is all there is.
    (a, b) => sign * ((a.step ?? a.sequence) - (b.step ?? b.sequence) || a.sequence - b.sequence),
  );
}
