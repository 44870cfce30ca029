/** Checkpoints and adapters from files into the store: checked as a whole first, then added in one commit or not at all. */
import { StudioError } from '../errors.ts';
import { readAdapter, readAdapterFolder, type AdapterRead } from '../formats/archive-read.ts';
import type { ByteSource } from '../formats/bytes.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { inPieces } from '../formats/file-entry.ts';
import { readText, readWhole, type FileSet } from '../formats/file-set.ts';
import { hasTrainerState, readHfTrainer } from '../formats/hf-trainer.ts';
import { MANIFEST_FILE, MAX_MANIFEST_BYTES } from '../formats/manifest.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { hasState, readTrainingState } from '../formats/state-files.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { NewCheckpoint } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord, RunRecord } from '../storage/records.ts';
import { collectFiles, importName, throwIfAborted, type CollectOptions } from './collect-files.ts';
import { writerOf } from './training-run.ts';

export interface ImportOptions extends CollectOptions {
  /** Of the run that is made where the checkpoint's own is not in the store. */
  runName?: string | undefined;
  /** Instead of the checkpoint's own name. */
  name?: string | undefined;
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
  originId: string | null;
  notes: string[];
}

const LEGAL_ID = /^[0-9A-Za-z_-]{1,64}$/;

function legalName(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 200) || 'imported';
}

async function partsOf(files: FileSet): Promise<FileEntry[]> {
  const parts: FileEntry[] = [];
  for (const path of files.names()) {
    if (path === MANIFEST_FILE) continue;
    const bytes = await readWhole(files, path, Number.MAX_SAFE_INTEGER);
    parts.push({ path, size: bytes.byteLength, chunks: () => inPieces(bytes) });
  }
  return parts;
}

/** State beside the adapter is read whole: what could not be resumed later is refused now. */
async function checkState(files: FileSet, read: AdapterRead): Promise<{ step: number; notes: string[] }> {
  const names = files.names();
  if (hasState(names)) {
    const { step } = await readTrainingState(files, read.adapter, read.manifest);
    return { step, notes: [] };
  }
  if (!hasTrainerState(names)) return { step: read.manifest?.step ?? 0, notes: [] };
  const ordered = read.manifest !== null;
  const { step, notes } = await readHfTrainer(files, read.adapter, { ordered });
  return { step, notes: [...notes] };
}

async function check(
  given: FileSet | ByteSource,
  warnings: readonly string[],
  options: ImportOptions,
): Promise<Checked> {
  const files = await collectFiles(given, options);
  const read = await readAdapterFolder(files);
  const state = await checkState(files, read);
  const notes = [...warnings, ...state.notes];
  const { manifest } = read;
  const parts = await partsOf(files);
  if (manifest === null) {
    const trainer = hasTrainerState(files.names());
    return {
      input: {
        name: options.name ?? legalName(importName(given)),
        step: state.step,
        kind: trainer ? 'hf-trainer' : 'sampler',
        trigger: 'import',
        parts,
        manifest: null,
        metadata: read.adapter.baseModel === null ? {} : { baseModel: read.adapter.baseModel },
      },
      runId: null,
      originId: null,
      notes,
    };
  }
  return {
    input: {
      name: options.name ?? manifest.name,
      step: manifest.step,
      kind: manifest.kind,
      trigger: 'import',
      parts,
      manifest: await readText(files, MANIFEST_FILE, MAX_MANIFEST_BYTES, 'ARCHIVE_INVALID'),
      parentId: manifest.parentId,
      metrics: manifest.metrics,
    },
    runId: LEGAL_ID.test(manifest.runId) ? manifest.runId : null,
    originId: manifest.id,
    notes,
  };
}

/** Path and hash of every file; the manifest's text stands for all the others where there is one. */
async function contentKey(input: NewCheckpoint): Promise<string> {
  if (typeof input.manifest === 'string') return sha256Hex(input.manifest);
  const lines: string[] = [];
  for (const part of input.parts) {
    const all: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of part.chunks()) all.push(chunk);
    lines.push(`${part.path} ${sha256Hex(new Uint8Array(await new Blob(all).arrayBuffer()))}`);
  }
  return lines.sort().join('\n');
}

function storedKey(record: CheckpointRecord, hasManifest: boolean): string {
  const manifest = record.parts.find(({ path }) => path === MANIFEST_FILE);
  if (hasManifest) return manifest?.sha256 ?? '';
  if (manifest !== undefined) return '';
  return record.parts
    .map(({ path, sha256 }) => `${path} ${sha256}`)
    .sort()
    .join('\n');
}

async function sameThere(store: CheckpointStore, input: NewCheckpoint): Promise<CheckpointRecord | null> {
  const key = await contentKey(input);
  const { items } = await store.list({ kind: input.kind, limit: 1e6 });
  const withManifest = typeof input.manifest === 'string';
  return items.find((record) => record.damage === null && storedKey(record, withManifest) === key) ?? null;
}

async function freeRunName(store: CheckpointStore, wanted: string): Promise<string> {
  const taken = new Set((await store.runs()).map(({ name }) => name));
  let name = wanted;
  for (let copy = 2; taken.has(name); copy++) name = `${wanted}-${String(copy)}`;
  return name;
}

async function runFor(
  store: CheckpointStore,
  { runId, input }: Checked,
  name: string,
): Promise<{ run: RunRecord; isNew: boolean }> {
  const there = (await store.runs()).find(({ id }) => id === runId);
  if (there !== undefined) return { run: there, isNew: false };
  const about = typeof input.manifest === 'string' ? null : (input.metadata?.['baseModel'] ?? null);
  const fields = { name: await freeRunName(store, name), baseId: about };
  if (runId === null) return { run: await store.createRun(fields), isNew: true };
  try {
    return { run: await store.createRun({ ...fields, id: runId }), isNew: true };
  } catch (error) {
    // A deleted run of this id still lies in the bin.
    if (!(error instanceof StudioError && error.code === 'CHECKPOINT_EXISTS')) throw error;
    return { run: await store.createRun(fields), isNew: true };
  }
}

/**
 * Adds an archive or a folder to the store: our own checkpoints of every kind with their manifest as it is, adapters and
 * Trainer checkpoints of other programs with the files that matter. Everything is read twice, streaming the first time;
 * the second time takes the memory of the content. On an error or an abort nothing of it stays. Throws CHECKPOINT_EXISTS
 * for a name that other content has, and what reading throws.
 */
export async function importCheckpoint(
  store: CheckpointStore,
  given: FileSet | ByteSource,
  options: ImportOptions = {},
): Promise<Imported> {
  // The first pass holds nothing but the adapter: what is broken or hostile ends here.
  const { warnings } = await readAdapter(given);
  throwIfAborted(options.signal);
  const checked = await check(given, warnings, options);
  const { input, notes } = checked;
  const there = await sameThere(store, input);
  if (there !== null) {
    return { checkpoint: there, run: await store.findRun(there.runId), alreadyThere: true, notes };
  }
  throwIfAborted(options.signal);
  const { run, isNew } = await runFor(store, checked, options.runName ?? importName(given));
  const writer = await writerOf(store, run.id);
  try {
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    const { checkpoint } = await writer.save(input, signal);
    return { checkpoint, run, alreadyThere: false, notes };
  } catch (error) {
    await writer.release();
    if (isNew) await store.removeRun(run.id);
    throw error;
  } finally {
    await writer.release();
  }
}
