/** Checkpoints and adapters from files into the store: checked as a whole first, then added in one commit or not at all. */
import { StudioError } from '../errors.ts';
import type { ByteSource } from '../formats/bytes.ts';
import type { FileSet } from '../formats/file-set.ts';
import { readText } from '../formats/file-set.ts';
import { hasTrainerState, isTrainerFile } from '../formats/hf-trainer.ts';
import { MANIFEST_FILE, MAX_MANIFEST_BYTES } from '../formats/manifest.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import { ADAPTER_CONFIG } from '../formats/peft-read.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { NewCheckpoint } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord, RunRecord } from '../storage/records.ts';
import {
  importName,
  openImport,
  throwIfAborted,
  type ImportFiles,
  type ReadOptions,
} from './import-files.ts';
import { checkState, isIgnored } from './import-state.ts';
import { findSame } from './same-content.ts';
import { writerOf } from './training-run.ts';

export interface ImportOptions extends ReadOptions {
  /** Of the run that is made where the checkpoint's own is not in the store. */
  runName?: string | undefined;
  /** Instead of the checkpoint's own name. */
  name?: string | undefined;
  /** Leaves out the state of a Trainer or of a program like it, which may be one that is not read here. */
  weightsOnly?: boolean | undefined;
}

export interface Imported {
  checkpoint: CheckpointRecord;
  run: RunRecord;
  /** The store had this very checkpoint, and nothing was added. */
  alreadyThere: boolean;
  /** For the person: what was left out or could not be made sure of. */
  notes: readonly string[];
}

/** Everything of an import but its place. */
interface Checked {
  input: NewCheckpoint;
  runId: string | null;
  notes: string[];
}

const LEGAL_ID = /^[0-9A-Za-z_-]{1,64}$/;
const KEPT: readonly string[] = [
  ADAPTER_CONFIG,
  'README.md',
  'metadata.json',
  'checkpoint_complete',
  ...TOKENIZER_FILES,
];

function legalName(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 200) || 'imported';
}

/** An adapter of another program, with the files that mean something here. */
async function foreign(files: ImportFiles, label: string, options: ImportOptions): Promise<Checked> {
  const { adapter, weights, warnings, files: listed } = files.read;
  const names = listed.map(({ path }) => path);
  const isState = hasTrainerState(names) && options.weightsOnly !== true;
  const state = isState ? await checkState(files) : { step: 0, notes: [] };
  const wanted = (path: string): boolean =>
    KEPT.includes(path) || path === weights || (isState && isTrainerFile(path) && !isIgnored(path));
  const left = !isState && hasTrainerState(names) ? ['Its training state was left out, as asked.'] : [];
  return {
    input: {
      name: options.name ?? legalName(label),
      step: state.step,
      kind: isState ? 'hf-trainer' : 'sampler',
      trigger: 'import',
      parts: files.entries.filter(({ path }) => wanted(path)),
      manifest: null,
      metadata: adapter.baseModel === null ? {} : { baseModel: adapter.baseModel },
    },
    runId: null,
    notes: [...warnings, ...state.notes, ...left],
  };
}

/** What an import is saved as, its state read whole. Throws what reading and `checkState` throw. */
export async function checkImport(
  files: ImportFiles,
  label: string,
  options: ImportOptions,
): Promise<Checked> {
  const { manifest, warnings } = files.read;
  if (manifest === null) return foreign(files, label, options);
  const { notes } = await checkState(files);
  const folder = await files.open((path) => path === MANIFEST_FILE);
  return {
    input: {
      name: options.name ?? manifest.name,
      step: manifest.step,
      kind: manifest.kind,
      trigger: 'import',
      parts: files.entries.filter(({ path }) => path !== MANIFEST_FILE),
      manifest: await readText(folder, MANIFEST_FILE, MAX_MANIFEST_BYTES, 'ARCHIVE_INVALID'),
      parentId: manifest.parentId,
      metrics: manifest.metrics,
    },
    runId: LEGAL_ID.test(manifest.runId) ? manifest.runId : null,
    notes: [...warnings, ...notes],
  };
}

async function freeRunName(store: CheckpointStore, wanted: string): Promise<string> {
  const taken = new Set((await store.runs()).map(({ name }) => name));
  let name = wanted;
  for (let copy = 2; taken.has(name); copy++) name = `${wanted}-${String(copy)}`;
  return name;
}

async function runFor(
  store: CheckpointStore,
  { runId }: Checked,
  baseId: string | null,
  name: string,
): Promise<{ run: RunRecord; isNew: boolean }> {
  const there = (await store.runs()).find(({ id }) => id === runId);
  if (there !== undefined) return { run: there, isNew: false };
  const fields = { name: await freeRunName(store, name), baseId };
  if (runId === null) return { run: await store.createRun(fields), isNew: true };
  try {
    return { run: await store.createRun({ ...fields, id: runId }), isNew: true };
  } catch (error) {
    // A deleted run of this id still lies in the bin.
    if (!(error instanceof StudioError && error.code === 'CHECKPOINT_EXISTS')) throw error;
    return { run: await store.createRun(fields), isNew: true };
  }
}

/** A run that holds nothing goes without a trace; what waits in the bin stays there. */
async function dropRun(store: CheckpointStore, runId: string): Promise<void> {
  await store.removeRun(runId);
  await store.emptyBin([]);
}

async function addNew(
  store: CheckpointStore,
  checked: Checked,
  place: { baseId: string | null; runName: string },
  { signal }: ImportOptions,
): Promise<{ checkpoint: CheckpointRecord; run: RunRecord }> {
  const { run, isNew } = await runFor(store, checked, place.baseId, place.runName);
  const writer = await writerOf(store, run.id);
  try {
    const { checkpoint } = await writer.save(checked.input, signal === undefined ? {} : { signal });
    return { checkpoint, run: await store.findRun(run.id) };
  } catch (error) {
    await writer.release();
    if (isNew) await dropRun(store, run.id);
    throw error;
  } finally {
    await writer.release();
  }
}

/** What a person should know where the run has gone further than the checkpoint that now is its newest. */
async function orderNotes(
  store: CheckpointStore,
  { name, step, runId, id }: CheckpointRecord,
  run: RunRecord,
): Promise<string[]> {
  const { items } = await store.list({ runId, limit: Number.MAX_SAFE_INTEGER });
  const further = items.filter((other) => other.id !== id && other.kind === 'full' && other.step > step);
  const [last] = further.sort((a, b) => b.step - a.step);
  if (last === undefined) return [];
  return [
    `${run.name} has gone on to step ${String(last.step)} (${last.name}). Resuming it goes on from what was added last, ${name}; to go on from the other, name it: ${run.name}/${last.name}.`,
  ];
}

/** Puts the content in the place of a copy whose bytes are damaged. */
async function repair(
  store: CheckpointStore,
  { input }: Checked,
  damaged: CheckpointRecord,
): Promise<CheckpointRecord> {
  const { name, runId, metadata, tags, pinned, note, parentId } = damaged;
  const writer = await writerOf(store, runId);
  try {
    const kept = { name, metadata, tags, pinned, note, parentId };
    return (await writer.save({ ...input, ...kept, overwrite: true })).checkpoint;
  } finally {
    await writer.release();
  }
}

async function place(
  store: CheckpointStore,
  files: ImportFiles,
  label: string,
  options: ImportOptions,
): Promise<Imported> {
  const { manifest, adapter } = files.read;
  const checked = await checkImport(files, label, options);
  const { input, notes } = checked;
  throwIfAborted(options.signal);
  const there = await findSame(store, input);
  throwIfAborted(options.signal);
  if (there?.damage === null) {
    return { checkpoint: there, run: await store.findRun(there.runId), alreadyThere: true, notes };
  }
  if (there !== null) {
    const checkpoint = await repair(store, checked, there);
    const run = await store.findRun(there.runId);
    const note = `The copy in the store was damaged (${there.damage?.problem ?? ''}); this one took its place.`;
    return { checkpoint, run, alreadyThere: false, notes: [...notes, note] };
  }
  const baseId = manifest?.base.id ?? adapter.baseModel;
  const added = await addNew(store, checked, { baseId, runName: options.runName ?? label }, options);
  const order = await orderNotes(store, added.checkpoint, added.run);
  return { ...added, alreadyThere: false, notes: [...notes, ...order] };
}

/**
 * Adds an archive or a folder to the store: our own checkpoints of every kind with their manifest as it is, adapters and
 * Trainer checkpoints of other programs with the files that matter.
 *
 * The input is read two or three times instead of held: once to check it, once for its state, once to store it. Memory:
 * the adapter as float32; with it, while the state is checked, the moments and (of an archive) the files that hold them,
 * about five times the adapter in all; then the private copy of the content that every save makes. On an error or an
 * abort nothing stays in the store.
 *
 * Throws CHECKPOINT_EXISTS for a name that other content has, INPUT_TOO_LARGE, CANCELLED, and what reading and saving throw.
 */
export async function importCheckpoint(
  store: CheckpointStore,
  given: FileSet | ByteSource,
  options: ImportOptions = {},
): Promise<Imported> {
  throwIfAborted(options.signal);
  const files = await openImport(given, options);
  try {
    return await place(store, files, importName(given), options);
  } finally {
    await files.close();
  }
}
