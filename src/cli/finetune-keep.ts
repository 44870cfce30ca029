/** A run of the command line in the store: made or gone on with, saved as it goes, and gone again where nothing was kept. */
import { RunSaver, type SavedEvent } from '../checkpoints/run-saver.ts';
import { beginRun, continueRun, type OpenedRun } from '../checkpoints/training-run.ts';
import { StudioError, type ErrorFields } from '../errors.ts';
import type { Run } from '../run/start-run.ts';
import type { CheckpointStore, RunWriter } from '../storage/checkpoint-store.ts';
import type { Start } from './finetune-start.ts';
import { noteFailed, noteSaved, policyOf, resumeCommand } from './keeping.ts';
import type { FinetuneOptions } from './options.ts';
import type { Reporter } from './progress.ts';
import { writeSource } from './run-source.ts';

export interface KeptRun {
  name: string;
  id: string;
  /** The checkpoint that it goes on from. */
  parentId: string | null;
  writer: RunWriter;
  saver: RunSaver;
  /** What was saved, and which saves failed, so far. */
  saved: readonly SavedEvent[];
  failed: readonly ErrorFields[];
  /** Ends the writing. A run that holds no checkpoint is taken out of the store again. */
  close(): Promise<void>;
}

async function freeName(
  store: CheckpointStore,
  options: FinetuneOptions,
  { model, data }: Start,
): Promise<string> {
  const taken = new Set((await store.runs()).map(({ name }) => name));
  const stem = (path: string): string => path.replace(/^.*[/\\]/, '').replace(/\.[^.]*$/, '');
  const wanted =
    options.name ?? `${stem(model.id)}-${stem(data.summary.name)}`.replaceAll(/[^\w.-]+/g, '-').slice(0, 200);
  let name = wanted;
  for (let copy = 2; options.name === undefined && taken.has(name); copy++)
    name = `${wanted}-${String(copy)}`;
  if (!taken.has(name)) return name;
  throw new StudioError({
    code: 'CHECKPOINT_EXISTS',
    message: `There is a run ${name} already.`,
    fix: `Choose another --name, or go on with it: ${resumeCommand(name, options)}`,
  });
}

async function openRun(store: CheckpointStore, options: FinetuneOptions, start: Start): Promise<OpenedRun> {
  const source = writeSource(start.paths, start.saving);
  if (start.found !== null) {
    const opened = await continueRun(store, start.found);
    // Model and data may have moved, and an imported run knows of neither: the next resumption finds them.
    const settings = { ...opened.run.settings, ...source };
    if (JSON.stringify(settings) === JSON.stringify(opened.run.settings)) return opened;
    return { ...opened, run: await store.updateRun(opened.run.id, { settings }) };
  }
  const opened = await beginRun(store, {
    name: await freeName(store, options, start),
    baseId: start.model.id,
    settings: source,
    metadata: start.parentId === null ? {} : { warmStart: start.parentId },
  });
  return { ...opened, parentId: start.parentId };
}

/** An empty run is no use to anybody. A disk that is too full even for that changes nothing of what was trained. */
async function dropEmpty(store: CheckpointStore, runId: string): Promise<void> {
  try {
    if ((await store.list({ runId, limit: 1 })).total > 0) return;
    await store.removeRun(runId);
    await store.emptyBin([]);
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
  }
}

/** Opens the run of the store that `run` is saved into. Throws CHECKPOINT_EXISTS, STORE_LOCKED or STORE_FULL. */
export async function keepRun(
  store: CheckpointStore,
  options: FinetuneOptions,
  start: Start,
  run: Run,
  report: Reporter,
): Promise<KeptRun> {
  const { run: record, writer, parentId } = await openRun(store, options, start);
  const isNew = record.id !== start.found?.run.id;
  if (isNew && start.found !== null)
    report.note(`There are newer checkpoints, so the run goes on as a fork: ${record.name}`);
  const saved: SavedEvent[] = [];
  const failed: ErrorFields[] = [];
  const saver = new RunSaver({
    store,
    writer,
    run,
    policy: policyOf(start.saving),
    parentId,
    onSaved: (event) => {
      saved.push(event);
      noteSaved(report, event);
    },
    onFailed: (error) => {
      failed.push(error);
      noteFailed(report, error);
    },
  });
  return {
    name: record.name,
    id: record.id,
    parentId,
    writer,
    saver,
    saved,
    failed,
    close: async () => {
      await saver.settle();
      await writer.release();
      if (isNew) await dropEmpty(store, record.id);
    },
  };
}

/** The command that goes on from where a run was ended; null where there is nothing to go on from. */
export function commandAfter(kept: KeptRun, start: Start, options: FinetuneOptions): string | null {
  if (kept.saved.length > 0) return resumeCommand(kept.name, options);
  if (start.found === null) return null;
  const { run, record } = start.found;
  return resumeCommand(kept.id === run.id ? run.name : `${run.name}/${record.name}`, options);
}
