/** What a run has learned so far, as the files of an export. */
import {
  shaderSources,
  type FinetuneConfig,
  type StepMetrics,
  type TrainingSession,
} from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import { archiveEntries } from '../formats/archive-write.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import type { Manifest } from '../formats/manifest.ts';
import type { AdapterDtype } from '../formats/peft-write.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { ulid } from '../formats/ulid.ts';
import type { OpenModel } from './open-model.ts';
import type { Run } from './start-run.ts';

export interface ExportOptions {
  dtype: AdapterDtype;
  /** Time of the checkpoint. */
  now: Date;
  /** Twenty random bytes: ten for the id of the checkpoint, ten for that of its run. */
  randomness: Uint8Array;
  appVersion: string;
  /** Name of the GPU that computed. */
  device: string;
  /** The last step's figures; null before the first step. */
  metrics: StepMetrics | null;
  /** Loss over the evaluation rows, where there are any. */
  evalLoss: number | null;
  /** Name of the checkpoint, unique within its run. */
  name: string;
  /** The checkpoint that the run went on from. */
  parentId?: string | null;
}

/** What an export takes of a run; the adapter may be off the GPU by then. */
export type ExportedRun = Pick<Run, 'training' | 'dataName'> & { session: Pick<TrainingSession, 'adapter'> };

/** The files of the export in their order: checkpoint.json, then the PEFT folder with tokenizer and card. */
export async function exportRun(
  run: ExportedRun,
  model: OpenModel,
  options: ExportOptions,
): Promise<FileEntry[]> {
  const { metrics, evalLoss, now, randomness } = options;
  const { settings, tensors } = await run.session.adapter();
  checkValues(tensors);
  const { beta1, beta2, eps, weightDecay } = run.training;
  return archiveEntries({
    adapter: { settings, baseModel: model.id, tensors },
    base: { id: model.id, revision: model.revision, ...model.hashes },
    run: {
      id: ulid(now.getTime(), randomness.subarray(0, 10)),
      runId: ulid(now.getTime(), randomness.subarray(10, 20)),
      parentId: options.parentId ?? null,
      name: options.name,
      step: metrics?.step ?? 0,
      createdAt: now.toISOString(),
      appVersion: options.appVersion,
    },
    optimizer: { type: 'adamw', betas: [beta1, beta2], eps, weightDecay },
    metrics: metricFigures(metrics, evalLoss),
    determinism: {
      adapter: options.device.slice(0, 1024),
      shaderHash: sha256Hex(shaderSources()),
      dtype: model.dtype,
    },
    dtype: options.dtype,
    fanInFanOut: model.config.family === 'gpt2',
    tokenizerFiles: new Map(model.tokenizerFiles.map(({ path, bytes }) => [path, bytes])),
    card: { dataName: run.dataName, facts: runFacts(run.training, metrics, evalLoss) },
  });
}

/** The last step's figures. */
export type LastFigures = Pick<StepMetrics, 'step' | 'epoch' | 'loss' | 'lr' | 'gradNorm'>;

/** Figures that the same run gives again: no times, no memory. */
export function metricFigures(metrics: LastFigures | null, evalLoss: number | null): Manifest['metrics'] {
  const { epoch, loss, lr, gradNorm } = metrics ?? {};
  const known = Object.entries({ epoch, loss, lr, gradNorm, evalLoss: evalLoss ?? undefined });
  return Object.fromEntries(known.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** What the model card says of the training. */
export function runFacts(
  training: FinetuneConfig,
  metrics: LastFigures | null,
  evalLoss: number | null,
): [string, string][] {
  const { batchSize, gradAccumulation, learningRate, schedule, seed } = training;
  return [
    ['Steps', String(metrics?.step ?? 0)],
    ['Rows per step', String(batchSize * gradAccumulation)],
    ['Learning rate', `${learningRate} (${schedule})`],
    ['Seed', String(seed)],
    ...(metrics === null ? [] : [['Training loss', metrics.loss.toFixed(4)] satisfies [string, string]]),
    ...(evalLoss === null ? [] : [['Evaluation loss', evalLoss.toFixed(4)] satisfies [string, string]]),
  ];
}

/** Far above what any adapter that works holds, and far below where float32 overflows inside the model. */
const LARGEST_VALUE = 1e6;

/** An adapter that has run away, whether to infinity or only almost, is never written. */
export function checkValues(tensors: readonly { name: string; data: Float32Array }[]): void {
  for (const { name, data } of tensors) {
    const wild = data.find((value) => !(Math.abs(value) <= LARGEST_VALUE));
    if (wild === undefined) continue;
    throw new StudioError({
      code: 'LOSS_NOT_FINITE',
      message: `The adapter has run away: its ${name} holds the value ${wild}.`,
      fix: 'Start again with a smaller learning rate, or turn gradient clipping on.',
    });
  }
}
