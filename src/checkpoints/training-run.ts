/** A run in the store: begun anew, gone on with, or forked from one of its earlier checkpoints. */
import { StudioError } from '../errors.ts';
import type { FileSet } from '../formats/file-set.ts';
import { restoreRun, type RestoredRun } from '../run/restore.ts';
import type { CheckpointStore, NewRun, RunWriter } from '../storage/checkpoint-store.ts';
import type { CheckpointRecord, RunRecord } from '../storage/records.ts';

/** A run that is open for training. */
export interface OpenedRun {
  run: RunRecord;
  writer: RunWriter;
  /** The checkpoint that it goes on from. */
  parentId: string | null;
}

export interface FoundCheckpoint {
  run: RunRecord;
  record: CheckpointRecord;
  files: FileSet;
  /** Newer ones that were found damaged, and so were passed over. */
  damaged: readonly CheckpointRecord[];
}

/**
 * The checkpoint that `RUN` or `RUN/NAME` names, its bytes checked: without a name the newest good one. Throws
 * RUN_NOT_FOUND, CHECKPOINT_NOT_FOUND or CHECKPOINT_DAMAGED.
 */
export async function findCheckpoint(store: CheckpointStore, path: string): Promise<FoundCheckpoint> {
  const slash = path.indexOf('/');
  const run = await store.findRun(slash < 0 ? path : path.slice(0, slash));
  if (slash >= 0) {
    const record = await store.find(run.id, path.slice(slash + 1));
    const checked = await store.verify(record.id);
    return { run, record: checked, files: (await store.open(checked.id)).files(), damaged: [] };
  }
  const { checkpoint, damaged } = await store.latest(run.id);
  if (checkpoint === null) throw noCheckpoint(run, damaged.length);
  return { run, record: checkpoint, files: (await store.open(checkpoint.id)).files(), damaged };
}

function noCheckpoint(run: RunRecord, damaged: number): StudioError {
  return new StudioError({
    code: 'CHECKPOINT_NOT_FOUND',
    message:
      damaged > 0
        ? `None of the ${String(damaged)} checkpoints of ${run.name} is whole.`
        : `The run ${run.name} has no checkpoint to resume from.`,
    fix: 'Import an exported checkpoint of the run, or start a new run.',
  });
}

/** Takes the writer's lock of a run. Throws STORE_LOCKED with who has it. */
export async function writerOf(store: CheckpointStore, runId: string): Promise<RunWriter> {
  const opened = await store.openRun(runId);
  if (opened.writable) return opened;
  throw new StudioError({
    code: 'STORE_LOCKED',
    message: opened.reason,
    fix: 'Stop the run there, or close that tab or program; then try again.',
  });
}

/** Makes a new run, open for writing. */
export async function beginRun(store: CheckpointStore, fields: NewRun): Promise<OpenedRun> {
  const run = await store.createRun(fields);
  return { run, writer: await writerOf(store, run.id), parentId: null };
}

/**
 * Opens the run of a checkpoint to go on from it. From its newest good one the run itself goes on; from an earlier one
 * a fork does, so that what came after it stays.
 */
export async function continueRun(
  store: CheckpointStore,
  { run, record }: Pick<FoundCheckpoint, 'run' | 'record'>,
): Promise<OpenedRun> {
  const parentId = record.id;
  const { checkpoint: newest } = await store.latest(run.id);
  if (newest === null || newest.id === record.id || newest.sequence < record.sequence) {
    return { run, writer: await writerOf(store, run.id), parentId };
  }
  const fork = await store.createRun({
    name: await forkName(store, run.name),
    baseId: run.baseId,
    settings: run.settings,
    metadata: { ...run.metadata, forkOf: run.id },
    note: `Forked from ${run.name}/${record.name}.`,
  });
  return { run: fork, writer: await writerOf(store, fork.id), parentId };
}

async function forkName(store: CheckpointStore, name: string): Promise<string> {
  const taken = new Set((await store.runs()).map((run) => run.name));
  for (let copy = 2; ; copy++) {
    const fork = `${name}-fork${copy === 2 ? '' : String(copy)}`;
    if (!taken.has(fork)) return fork;
  }
}

/** Finds a checkpoint and reads all that a run needs to go on from it. */
export async function loadResume(
  store: CheckpointStore,
  path: string,
): Promise<FoundCheckpoint & { restored: RestoredRun }> {
  const found = await findCheckpoint(store, path);
  return { ...found, restored: await restoreRun(found.files) };
}
