/** What the commands over checkpoints share: the folder opened and closed around the work, and names looked up. */
import { StudioError } from '../../errors.ts';
import type { CheckpointStore } from '../../storage/checkpoint-store.ts';
import type { CheckpointRecord } from '../../storage/records.ts';
import { openStore } from '../keeping.ts';
import { printable } from '../words.ts';
import type { KeptOptions } from './program.ts';

/** More than a store has: all of them. */
const ALL = 1e9;

export const note = (text: string): void => void process.stderr.write(`${printable(text)}\n`);

/** Opens the folder, which must be there unless `create`, does the work, and prints what it gives: as JSON or as text. */
export async function withStore<T>(
  { store: folder, json }: KeptOptions,
  work: (store: CheckpointStore) => Promise<T>,
  text: (result: T) => string,
  create = false,
): Promise<T> {
  const store = await openStore(folder, create, note);
  try {
    const result = await work(store);
    process.stdout.write(json ? `${JSON.stringify(result)}\n` : text(result));
    return result;
  } finally {
    await store.close();
  }
}

/** The checkpoint of `RUN/NAME`, or the newest of `RUN`. Throws RUN_NOT_FOUND or CHECKPOINT_NOT_FOUND. */
export async function recordOf(store: CheckpointStore, path: string): Promise<CheckpointRecord> {
  const slash = path.indexOf('/');
  const run = await store.findRun(slash < 0 ? path : path.slice(0, slash));
  if (slash >= 0) return store.find(run.id, path.slice(slash + 1));
  const newest = (await store.list({ runId: run.id, limit: 1 })).items[0];
  if (newest !== undefined) return newest;
  throw new StudioError({
    code: 'CHECKPOINT_NOT_FOUND',
    message: `The run ${run.name} has no checkpoints.`,
    fix: 'List the runs and choose one of them.',
  });
}

/** Every checkpoint of the store, or of one run. */
export async function allOf(store: CheckpointStore, runId?: string): Promise<CheckpointRecord[]> {
  return (await store.list({ ...(runId === undefined ? {} : { runId }), limit: ALL })).items;
}

/** `RUN/NAME` of each. */
export async function named(store: CheckpointStore, records: readonly CheckpointRecord[]): Promise<string[]> {
  const runs = new Map((await store.runs()).map(({ id, name }) => [id, name]));
  return records.map(({ runId, name }) => `${runs.get(runId) ?? runId}/${name}`);
}
