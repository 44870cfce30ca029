/** What the records must be for a save to go through. Asked twice: before the work, and again at the commit. */
import { StudioError } from '../errors.ts';
import type { NewCheckpoint } from './new-checkpoint.ts';
import type { CheckpointRecord, RunRecord, StoreContents } from './records.ts';

/** The run, or the error that names it. */
export function runOf({ runs }: StoreContents, runId: string): RunRecord {
  const run = runs.find(({ id }) => id === runId);
  if (run !== undefined && run.removedAt === null) return run;
  throw new StudioError({
    code: 'RUN_NOT_FOUND',
    message: `There is no run ${runId} in the store.`,
    fix: 'List the runs and choose one of them.',
  });
}

/** The checkpoint, or the error that names it. */
export function checkpointOf({ checkpoints, tombstones }: StoreContents, id: string): CheckpointRecord {
  const found = checkpoints.find((checkpoint) => checkpoint.id === id);
  if (found !== undefined) return found;
  const binned = tombstones.some((tombstone) => tombstone.id === id);
  throw new StudioError({
    code: 'CHECKPOINT_NOT_FOUND',
    message: binned ? `The checkpoint ${id} is in the bin.` : `There is no checkpoint ${id} in the store.`,
    fix: binned ? 'Restore it first.' : 'List the checkpoints and choose one of them.',
  });
}

/** The error for a name that is taken. */
export function nameTaken(name: string, run: RunRecord): StudioError {
  return new StudioError({
    code: 'CHECKPOINT_EXISTS',
    message: `The run ${run.name} has a checkpoint ${name} already.`,
    fix: 'Choose another name, or allow overwriting.',
  });
}

/** Refuses to take away what another checkpoint is stored as the difference to. */
export function checkNotBase(checkpoints: readonly CheckpointRecord[], base: CheckpointRecord): void {
  const delta = checkpoints.find((other) => other.delta?.baseId === base.id);
  if (delta === undefined) return;
  throw new StudioError({
    code: 'CHECKPOINT_PROTECTED',
    message: `${base.name} must stay: ${delta.name} is stored as its difference to it.`,
    fix: `Delete ${delta.name} first.`,
  });
}

function checkBase(checkpoints: readonly CheckpointRecord[], input: NewCheckpoint): void {
  const { delta } = input;
  if (delta === undefined || delta === null) return;
  const base = checkpoints.find(({ id }) => id === delta.baseId);
  if (base !== undefined && base.delta === null && base.damage === null) return;
  throw new StudioError({
    code: 'CHECKPOINT_NOT_FOUND',
    message: `The base of ${input.name} (${delta.baseId}) is not a whole, sound checkpoint of this store.`,
    fix: 'Save it as a whole.',
  });
}

/** The run that is saved into, and the checkpoint that is replaced; throws when the save may not be. */
export function checkAgainst(
  contents: StoreContents,
  runId: string,
  input: NewCheckpoint,
): { run: RunRecord; replaced: CheckpointRecord | null } {
  const { checkpoints } = contents;
  const run = runOf(contents, runId);
  const replaced = checkpoints.find((other) => other.runId === runId && other.name === input.name) ?? null;
  if (replaced !== null) {
    if (input.overwrite !== true) throw nameTaken(input.name, run);
    checkNotBase(checkpoints, replaced);
  }
  checkBase(checkpoints, input);
  return { run, replaced };
}

/** The sequence number of what is saved: the next one, or the one that it had where nothing else has that by now. */
export function placeIn({ checkpoints }: StoreContents, run: RunRecord, { was }: NewCheckpoint): number {
  const next = run.lastSequence + 1;
  if (was === undefined) return next;
  const taken = checkpoints.some(({ runId, sequence }) => runId === run.id && sequence === was.sequence);
  return taken ? next : was.sequence;
}
