/** A stored checkpoint as the files of an export: everything, the adapter alone, or what a HuggingFace Trainer resumes from. */
import { scheduleFactor } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import { readAdapterFolder } from '../formats/archive-read.ts';
import { archiveEntries, toTarGz, type AdapterExport } from '../formats/archive-write.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { readWhole } from '../formats/file-set.ts';
import { readPeftFolder } from '../formats/import-layout.ts';
import { hfTrainerEntries, hasTrainerState, type HfTrainerExport } from '../formats/hf-trainer.ts';
import type { HfLogEntry } from '../formats/hf-state.ts';
import type { Manifest } from '../formats/manifest.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import type { AdapterDtype } from '../formats/peft-write.ts';
import { hasState } from '../formats/state-files.ts';
import type { Chunk } from '../formats/streams.ts';
import { restoreRun, type RestoredRun } from '../run/restore.ts';
import type { StoredCheckpoint } from '../storage/stored-files.ts';

export interface ExportWish {
  kind: 'full' | 'sampler' | 'hf-trainer';
  /** Of the adapter in a `sampler` export; the others are float32, as they were trained. */
  dtype?: AdapterDtype;
}

const MAX_TOKENIZER_BYTES = 64 * 2 ** 20;

function cannot(stored: StoredCheckpoint, what: string, fix: string): StudioError {
  return new StudioError({
    code: 'STATE_INCOMPLETE',
    message: `${stored.record.name} holds ${what}.`,
    fix,
  });
}

/**
 * The files of an export, checkpoint.json first where there is one. `full` gives the stored files byte for byte; the
 * other kinds get a manifest of their own with the ids and times of the stored one. Throws STATE_INCOMPLETE for a kind
 * that the checkpoint has no parts for.
 */
export async function exportEntries(stored: StoredCheckpoint, wish: ExportWish): Promise<FileEntry[]> {
  const { record } = stored;
  const names = stored.files().names();
  if (wish.kind === 'full') {
    if (record.kind === 'hf-trainer' || hasTrainerState(names)) return inTrainerFolder(stored);
    return stored.entries();
  }
  if (wish.kind === 'hf-trainer') {
    if (hasTrainerState(names)) return inTrainerFolder(stored);
    if (!hasState(names)) {
      throw cannot(stored, 'an adapter and no training state', 'Export it as an adapter instead.');
    }
    const restored = await restoreRun(stored.files());
    return archiveEntries({
      ...(await commonParts(stored, restored.manifest, 'F32', restored.settings.data.name)),
      adapter: restored.adapter,
      trainerFiles: hfTrainerEntries(trainerExport(restored)),
    });
  }
  const read = await readAdapterFolder(stored.files());
  if (read.manifest === null) {
    // Another program's adapter: its own files, without what a Trainer or a training state added.
    return stored.entries().filter(({ path }) => !path.startsWith('state/') && !hasTrainerState([path]));
  }
  return archiveEntries({
    ...(await commonParts(stored, read.manifest, wish.dtype ?? 'F32')),
    adapter: read.adapter,
  });
}

/** A Trainer's files lie in a folder named after the step. */
function inTrainerFolder(stored: StoredCheckpoint): FileEntry[] {
  const folder = `checkpoint-${String(stored.record.step)}`;
  return stored.entries().map((entry) => ({
    path: `${folder}/${entry.path}`,
    size: entry.size,
    chunks: () => entry.chunks(),
  }));
}

async function commonParts(
  stored: StoredCheckpoint,
  manifest: Manifest,
  dtype: AdapterDtype,
  dataName?: string,
): Promise<Omit<AdapterExport, 'adapter'>> {
  const files = stored.files();
  const tokenizerFiles = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of TOKENIZER_FILES) {
    if (files.names().includes(name)) {
      tokenizerFiles.set(name, await readWhole(files, name, MAX_TOKENIZER_BYTES));
    }
  }
  const { id, runId, parentId, name, step, createdAt, appVersion } = manifest;
  return {
    base: manifest.base,
    run: { id, runId, parentId, name, step, createdAt, appVersion },
    optimizer: manifest.optimizer,
    metrics: manifest.metrics,
    determinism: manifest.determinism,
    dtype,
    fanInFanOut: (await readPeftFolder(files)).fanInFanOut,
    tokenizerFiles,
    card: {
      dataName: dataName ?? null,
      facts: [
        ['Steps', String(step)],
        ...Object.entries(manifest.metrics).map(([key, value]): [string, string] => [key, String(value)]),
      ],
    },
  };
}

/** What a Trainer resumes from, of a run's state. Throws STATE_INVALID where parts contradict each other. */
export function trainerExport({ adapter, state, settings }: RestoredRun): HfTrainerExport {
  const { scheduler, optimizer, moments, data } = state;
  const { learningRate, warmupSteps, totalSteps } = scheduler.params;
  const schedule = { name: scheduler.type, warmupSteps, totalSteps };
  const rateAt = (position: number): number => learningRate * scheduleFactor(schedule, position);
  const log = state.metrics.flatMap((record): HfLogEntry[] => {
    const { step, loss, gradNorm, lr, epoch, evalLoss } = record;
    const entry: Record<string, number> = {};
    for (const [key, value] of Object.entries({
      loss,
      grad_norm: gradNorm,
      learning_rate: lr,
      epoch,
      eval_loss: evalLoss,
    })) {
      if (typeof value === 'number') entry[key] = value;
    }
    return [{ ...entry, step }];
  });
  return {
    adapter,
    moments,
    optimizerStep: optimizer.step,
    adamw: { betas: optimizer.betas, eps: optimizer.eps, weightDecay: optimizer.weightDecay },
    peakLearningRate: learningRate,
    learningRate: rateAt(scheduler.position),
    step: state.step,
    maxSteps: totalSteps,
    epoch: state.epoch,
    epochs: Math.max(1, Math.ceil((totalSteps * rowsPerStep(settings)) / data.rows)),
    batchSize: settings.training.batchSize,
    tokens: state.tokens,
    log,
    bestMetric: state.best?.value ?? null,
    bestStep: state.best?.step ?? null,
  };
}

const rowsPerStep = ({ training }: RestoredRun['settings']): number =>
  training.batchSize * training.gradAccumulation;

export interface ArchiveOptions {
  onProgress?: (doneBytes: number, totalBytes: number) => void;
  signal?: AbortSignal;
}

/** The files as a `.tar.gz` that is made while it is read; nothing is held but the piece on its way. Fails with CANCELLED. */
export function exportArchive(
  entries: readonly FileEntry[],
  options: ArchiveOptions = {},
): ReadableStream<Chunk> {
  const total = entries.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  async function* watched(entry: FileEntry): AsyncGenerator<Chunk, void, undefined> {
    for await (const chunk of entry.chunks()) {
      if (options.signal?.aborted === true) {
        throw new StudioError({
          code: 'CANCELLED',
          message: 'The export was cancelled.',
          fix: 'Start it again.',
        });
      }
      yield chunk;
      done += chunk.byteLength;
      options.onProgress?.(done, total);
    }
  }
  return toTarGz(
    entries.map((entry) => ({ path: entry.path, size: entry.size, chunks: () => watched(entry) })),
  );
}
