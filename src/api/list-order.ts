/** The order of lists: by step, then in the order of saving; never by the text of times, whose precision varies. */
import type { Checkpoint } from './types.ts';

/** Rows without a step, as servers give them, count as saved at the step of the row that was saved before them. */
function effectiveSteps(checkpoints: readonly Checkpoint[]): Map<Checkpoint, number> {
  const steps = new Map<Checkpoint, number>();
  let last = 0;
  for (const row of [...checkpoints].sort((a, b) => a.sequence - b.sequence)) {
    last = row.step ?? last;
    steps.set(row, last);
  }
  return steps;
}

export function sortCheckpoints(
  checkpoints: readonly Checkpoint[],
  order: 'asc' | 'desc' = 'asc',
): Checkpoint[] {
  const steps = effectiveSteps(checkpoints);
  const sign = order === 'asc' ? 1 : -1;
  return [...checkpoints].sort(
    (a, b) => sign * ((steps.get(a) ?? 0) - (steps.get(b) ?? 0) || a.sequence - b.sequence),
  );
}
