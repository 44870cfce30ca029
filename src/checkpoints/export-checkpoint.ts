/** A stored checkpoint as the files of an export: everything, the adapter alone, or what a HuggingFace Trainer resumes from. */
import { scheduleFactor } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import { archiveEntries, toTarGz, type AdapterExport } from '../formats/archive-write.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { readText, readWhole, type FileSet } from '../formats/file-set.ts';
import { hasTrainerState, hfTrainerEntries, type HfTrainerExport } from '../formats/hf-trainer.ts';
import type { HfLogEntry } from '../formats/hf-state.ts';
import type { Manifest } from '../formats/manifest.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import { parsePeftConfig } from '../formats/peft-config.ts';
import { ADAPTER_CONFIG, MAX_CONFIG_BYTES } from '../formats/peft-read.ts';
import type { AdapterDtype } from '../formats/peft-write.ts';
import { hasState } from '../formats/state-files.ts';
import type { Chunk } from '../formats/streams.ts';
import { restoreRun, type RestoredRun } from '../run/restore.ts';
import type { StoredCheckpoint } from '../storage/stored-files.ts';
import { samplerEntries } from './export-sampler.ts';

export interface ExportWish {
  kind: 'full' | 'sampler' | 'hf-trainer';
  /** Of the adapter in a `sampler` export; default what it is stored in, which is float32 where it was trained here. */
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
 * other kinds get a manifest of their own with the ids and times of the stored one. An adapter of another program goes
 * out as the files it came in, or as those of PEFT where it has another form or is asked for in another dtype. Holds
 * nothing in memory but for `hf-trainer` adapter and moments, and what of another program has to be converted. Throws
 * STATE_INCOMPLETE for a kind that the checkpoint has no parts for.
 */
export async function exportEntries(stored: StoredCheckpoint, wish: ExportWish): Promise<FileEntry[]> {
  const names = stored.files().names();
  const isTrainer = stored.record.kind === 'hf-trainer' || hasTrainerState(names);
  if (wish.kind === 'full') return isTrainer ? inTrainerFolder(stored) : stored.entries();
  if (wish.kind === 'hf-trainer') {
    if (isTrainer) return inTrainerFolder(stored);
    if (!hasState(names)) {
      throw cannot(stored, 'an adapter and no training state', 'Export it as an adapter instead.');
    }
    const restored = await restoreRun(stored.files());
    const { fanInFanOut } = await peftConfig(stored.files());
    return archiveEntries({
      ...(await commonParts(stored, restored.manifest, restored.settings.data.name)),
      fanInFanOut,
      adapter: restored.adapter,
      trainerFiles: hfTrainerEntries(trainerExport(restored)),
    });
  }
  return samplerEntries(stored, wish.dtype);
}

/** Config and card of a stored adapter, without its tensors. */
async function peftConfig(files: FileSet): Promise<{ fanInFanOut: boolean }> {
  return parsePeftConfig(await readText(files, ADAPTER_CONFIG, MAX_CONFIG_BYTES, 'ADAPTER_INVALID'));
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
  dataName: string,
): Promise<Omit<AdapterExport, 'adapter' | 'fanInFanOut'>> {
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
    dtype: 'F32',
    tokenizerFiles,
    card: {
      dataName,
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
