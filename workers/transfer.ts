/** Checkpoints that leave as archives, and files that come in: looked at first, then added to the store. */
import { compareCheckpoints, type Comparison } from '../src/checkpoints/compare.ts';
import { exportArchive, exportEntries } from '../src/checkpoints/export-checkpoint.ts';
import { importCheckpoint } from '../src/checkpoints/import-checkpoint.ts';
import { peek, type Peek } from '../src/checkpoints/peek.ts';
import { sortDropped } from '../src/checkpoints/sort-dropped.ts';
import { blobSource, type ByteSource } from '../src/formats/bytes.ts';
import { blobFileSet, commonFolder, type FileSet } from '../src/formats/file-set.ts';
import type { OpenModel } from '../src/run/open-model.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import type { Progress } from './api.ts';
import type { DroppedFile, ExportKind } from './checkpoints-api.ts';

/** Of a folder full of strange files the first are named. */
const MOST_NOTES = 20;

/** One file is an archive or a data file; several are a folder. */
function asInput(files: readonly DroppedFile[]): FileSet | ByteSource {
  const [first] = files;
  if (files.length === 1 && first !== undefined && !first.path.includes('/')) {
    return blobSource(first.file.name, first.file);
  }
  const label = commonFolder(files.map(({ path }) => path)).slice(0, -1) || 'The files';
  return blobFileSet(
    label,
    files.map(({ path, file }) => ({ path, blob: file })),
  );
}

/** Of everything that was dropped one thing is looked at; what it is, which files are its own, and what was left out. */
export async function peekFiles(
  files: readonly DroppedFile[],
  loaded: OpenModel | null,
): Promise<{ peek: Peek; paths: string[] }> {
  const { inputs, left } = sortDropped(
    files.map(({ path, file }) => ({ kind: 'file', path, size: file.size, modified: file.lastModified })),
  );
  const [first, ...others] = inputs;
  const notes = [
    ...left.map(({ name, reason }) => `${name}: ${reason}`),
    ...others.map(({ name }) => `${name}: One thing is looked at at a time. Drop it by itself.`),
  ].slice(0, MOST_NOTES);
  if (first === undefined) {
    const error = {
      code: 'FILE_UNREADABLE' as const,
      message: 'Nothing of what was dropped can be used.',
      fix: 'Drop a .tar.gz or .tar with an adapter, a folder with an adapter or a model, or a data file.',
    };
    const name = files[0]?.path ?? '';
    return {
      peek: {
        kind: 'unknown',
        title: 'Nothing that can be used',
        name,
        facts: [],
        actions: [],
        notes,
        error,
      },
      paths: [],
    };
  }
  const { paths } = first;
  const look = await peek(asInput(files.filter(({ path }) => paths.includes(path))), loaded);
  return { peek: { ...look, notes: [...look.notes, ...notes] }, paths };
}

/** Adds files to the store; until the signal, after which nothing of them is there. */
export function importFiles(
  store: CheckpointStore,
  files: readonly DroppedFile[],
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): ReturnType<typeof importCheckpoint> {
  return importCheckpoint(store, asInput(files), {
    signal,
    onProgress: (done, total) => onProgress({ label: 'Adding', done, total }),
  });
}

/** A stored checkpoint as a `.tar.gz`, written to where the browser keeps blobs as it is made. */
export async function exportBlob(
  store: CheckpointStore,
  id: string,
  what: { kind: ExportKind; dtype: 'F32' | 'BF16' },
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<{ name: string; blob: Blob }> {
  const stored = await store.open(id);
  const run = await store.findRun(stored.record.runId);
  const entries = await exportEntries(stored, what);
  const archive = exportArchive(entries, {
    signal,
    onProgress: (done, total) => onProgress({ label: 'Packing', done, total }),
  });
  const headers = { 'Content-Type': 'application/gzip' };
  const suffix = what.kind === 'full' ? '' : `-${what.kind}`;
  return {
    name: `${run.name}-${stored.record.name}${suffix}.tar.gz`.replace(/[^\w.-]+/g, '-'),
    blob: await new Response(archive, { headers }).blob(),
  };
}

export async function compareStored(store: CheckpointStore, a: string, b: string): Promise<Comparison> {
  const [left, right] = await Promise.all([store.open(a), store.open(b)]);
  return compareCheckpoints(left.files(), right.files());
}
