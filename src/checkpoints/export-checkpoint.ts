/** A stored checkpoint as the files of an export: everything, the adapter alone, or what a HuggingFace Trainer resumes from. */
import { scheduleFactor } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import { archiveEntries, toTarGz, type AdapterExport } from '../formats/archive-write.ts';
import { compareBytes, textEntry, type FileEntry } from '../formats/file-entry.ts';
import { readText, readWhole, type FileSet } from '../formats/file-set.ts';
import { readPeftFolder } from '../formats/import-layout.ts';
import {
  hasTrainerState,
  hfTrainerEntries,
  isTrainerFile,
  type HfTrainerExport,
} from '../formats/hf-trainer.ts';
import type { HfLogEntry } from '../formats/hf-state.ts';
import {
  MANIFEST_FILE,
  manifestText,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Manifest,
} from '../formats/manifest.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import { parsePeftConfig } from '../formats/peft-config.ts';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, MAX_CONFIG_BYTES } from '../formats/peft-read.ts';
import { peftEntries, type AdapterDtype } from '../formats/peft-write.ts';
import { hasState } from '../formats/state-files.ts';
import type { Chunk } from '../formats/streams.ts';
import { restoreRun, type RestoredRun } from '../run/restore.ts';
import type { StoredCheckpoint } from '../storage/stored-files.ts';

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
 * out as the files it came in, or as those of PEFT where it has another form or is asked for in another dtype. Nothing is held in
 * memory but for another dtype the adapter, and for `hf-trainer` the moments as well. Throws STATE_INCOMPLETE for a kind that
 * the checkpoint has no parts for.
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
      ...(await commonParts(stored, restored.manifest, 'F32', restored.settings.data.name)),
      fanInFanOut,
      adapter: restored.adapter,
      trainerFiles: hfTrainerEntries(trainerExport(restored)),
    });
  }
  if (!names.includes(MANIFEST_FILE)) {
    return foreignEntries(stored, await readPeftFolder(stored.files()), wish.dtype);
  }
  const text = await readText(stored.files(), MANIFEST_FILE, MAX_MANIFEST_BYTES, 'ARCHIVE_INVALID');
  const manifest = parseManifest(text);
  const dtypes = new Set(Object.values(manifest.tensors).map(({ dtype }) => dtype));
  if (wish.dtype === undefined || (dtypes.size === 1 && dtypes.has(wish.dtype))) {
    return samplerEntries(stored, manifest);
  }
  // The store checks every byte as it is read: no second look at the manifest's hashes.
  const { adapter, fanInFanOut } = await readPeftFolder(stored.files());
  return archiveEntries({ ...(await commonParts(stored, manifest, wish.dtype)), fanInFanOut, adapter });
}

/** The stored files without those of the training state, as they are; only the manifest is another one. */
function samplerEntries(stored: StoredCheckpoint, whole: Manifest): FileEntry[] {
  const { sha256Self: _, ...manifest } = whole;
  const isState = (path: string): boolean => hasState([path]) || isTrainerFile(path);
  const files = manifest.files.filter(({ path }) => !isState(path));
  const text = manifestText({ ...manifest, kind: 'sampler', files });
  const entries = stored.entries().filter(({ path }) => path !== MANIFEST_FILE && !isState(path));
  return [textEntry(MANIFEST_FILE, text), ...entries];
}

/** Config and card of a stored adapter, without its tensors. */
async function peftConfig(files: FileSet): Promise<{ fanInFanOut: boolean }> {
  return parsePeftConfig(await readText(files, ADAPTER_CONFIG, MAX_CONFIG_BYTES, 'ADAPTER_INVALID'));
}

/** What beside the tensors of another program's adapter means something elsewhere. */
const PASSED_ON: readonly string[] = ['README.md', ...TOKENIZER_FILES];

function foreignEntries(
  stored: StoredCheckpoint,
  read: Awaited<ReturnType<typeof readPeftFolder>>,
  dtype: AdapterDtype | undefined,
): FileEntry[] {
  const { adapter, dtypes, weights, fanInFanOut } = read;
  const isPeft = weights === ADAPTER_WEIGHTS && (dtype === undefined || dtypes.join() === dtype);
  const entries = stored.entries();
  if (isPeft) return entries.filter(({ path }) => !isTrainerFile(path));
  const converted = peftEntries(adapter, dtype ?? 'F32', { fanInFanOut, revision: null });
  const others = entries.filter(({ path }) => PASSED_ON.includes(path));
  return [...converted, ...others].sort((a, b) => compareBytes(a.path, b.path));
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
    dtype,
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
