/** A run at one moment as the files of a checkpoint: adapter, both moments, position, settings, figures, tokenizer, card. */
import { shaderSources, type AdamParams, type RunPosition, type TrainingSession } from '../engine/index.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import { contentEntries, describeAdapter } from '../formats/archive-write.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { manifestLora, type Manifest } from '../formats/manifest.ts';
import type { Moments } from '../formats/moments.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { stateEntries } from '../formats/state-files.ts';
import type { TrainingState } from '../formats/training-state.ts';
import { checkValues, metricFigures, runFacts, type LastFigures } from './export-run.ts';
import type { OpenModel } from './open-model.ts';
import type { RunLog } from './run-log.ts';
import { flattenSettings, type RunSettings } from './run-settings.ts';

/** What stays the same over a run. */
export interface RunIdentity {
  model: Pick<OpenModel, 'id' | 'revision' | 'hashes' | 'config' | 'tokenizerFiles' | 'dtype'>;
  settings: RunSettings;
  lora: LoraSettings;
  /** Rows for training, and the hash of all rows. */
  data: { rows: number; sha256: string };
  /** The most tokens of a micro-batch: how rows become micro-batches. */
  maxTokens: number;
  /** Optimizer steps to the end. */
  steps: number;
  /** Name of the GPU that computes. */
  device: string;
  appVersion: string;
}

/** What a session holds at one moment, off the GPU. */
export interface SessionSnapshot {
  tensors: Adapter['tensors'];
  moments: Moments;
  /** Accumulated and not applied; null with none. */
  gradients: Adapter['tensors'] | null;
}

/** A moment of a run: the position and figures that belong to a snapshot. */
export interface RunMoment extends RunPosition {
  /** Calls of forwardBackward since the last step; above 0 there are gradients. */
  microStep: number;
  log: RunLog;
  /** The last step's figures; null before the first step. */
  last: LastFigures | null;
  metadata: Readonly<Record<string, string>>;
}

/** Files, and what checkpoint.json says besides ids, times and hashes. */
export interface CapturedCheckpoint {
  step: number;
  parts: FileEntry[];
  manifest: Pick<
    Manifest,
    'base' | 'lora' | 'optimizer' | 'determinism' | 'appVersion' | 'paramOrder' | 'tensors'
  >;
  metrics: Manifest['metrics'];
}

/** Losses of so many steps are kept beside the figures, for those who look at state/trainer.json alone. */
const TAIL = 100;

/**
 * Copies a session's state out of the GPU: the copies are queued at once, so steps that are queued later change nothing
 * of them, and training may go on before they have arrived.
 */
export async function snapshotSession(
  session: Pick<TrainingSession, 'state'>,
  withGradients = false,
): Promise<SessionSnapshot> {
  const { state } = session;
  const [tensors, expAvg, expAvgSq, gradients] = await Promise.all([
    state.tensors('params'),
    state.tensors('expAvg'),
    state.tensors('expAvgSq'),
    withGradients ? state.tensors('grads') : null,
  ]);
  return { tensors, moments: { expAvg, expAvgSq }, gradients };
}

/** The name of how rows become micro-batches, with the number that decides it. */
export const packingName = (maxTokens: number): string => `segments/${String(maxTokens)}`;

/** The training state of a moment. */
export function stateOf(run: RunIdentity, moment: RunMoment, snapshot: SessionSnapshot): TrainingState {
  const { settings, data, model } = run;
  const { training } = settings;
  const { step, rowsTaken, microStep, log } = moment;
  const { beta1, beta2, eps, weightDecay, gradClip } = training;
  return {
    step,
    microStep,
    epoch: rowsTaken / data.rows,
    optimizer: { type: 'adamw', step, betas: [beta1, beta2], eps, weightDecay, gradClip },
    moments: snapshot.moments,
    gradients: snapshot.gradients,
    scheduler: {
      type: training.schedule,
      params: {
        learningRate: training.learningRate,
        warmupSteps: training.warmupSteps,
        totalSteps: run.steps,
      },
      position: step,
    },
    rng: { algo: 'philox4x32-10', seed: training.seed, counters: { step, micro: microStep } },
    data: {
      datasetSha256: data.sha256,
      rows: data.rows,
      order: training.shuffle ? 'shuffled' : 'file',
      epoch: Math.floor(rowsTaken / data.rows),
      offset: rowsTaken % data.rows,
      packing: packingName(run.maxTokens),
      tokenizerSha256: model.hashes.tokenizerSha256,
    },
    settings: flattenSettings(settings),
    best: log.best,
    lossTail: log.records
      .flatMap(({ step: of, loss }) => (typeof loss === 'number' ? [{ step: of, loss }] : []))
      .slice(-TAIL),
    tokens: log.tokens,
    metrics: log.records,
    metadata: { ...moment.metadata },
  };
}

/** What checkpoint.json says of an adapter and its optimizer, whichever loop trained them. */
export async function manifestOf(
  { model, device, appVersion }: Pick<RunIdentity, 'device' | 'appVersion'> & { model: { dtype: string } },
  base: Manifest['base'],
  adapter: Adapter,
  { beta1, beta2, eps, weightDecay }: Pick<AdamParams, 'beta1' | 'beta2' | 'eps' | 'weightDecay'>,
): Promise<CapturedCheckpoint['manifest']> {
  return {
    base,
    lora: manifestLora(adapter.settings),
    optimizer: { type: 'adamw', betas: [beta1, beta2], eps, weightDecay },
    determinism: {
      adapter: device.slice(0, 1024),
      shaderHash: sha256Hex(shaderSources()),
      dtype: model.dtype,
    },
    appVersion,
    ...(await describeAdapter(adapter, 'F32')),
  };
}

/** Throws LOSS_NOT_FINITE for an adapter that has run away: such a state is never saved. */
export async function captureCheckpoint(
  run: RunIdentity,
  moment: RunMoment,
  snapshot: SessionSnapshot,
): Promise<CapturedCheckpoint> {
  checkValues(snapshot.tensors);
  const { model, settings, lora } = run;
  const base = { id: model.id, revision: model.revision, ...model.hashes };
  const { evalLoss } = moment.log;
  const adapter: Adapter = { settings: lora, baseModel: model.id, tensors: snapshot.tensors };
  const parts = contentEntries({
    adapter,
    base,
    dtype: 'F32',
    fanInFanOut: model.config.family === 'gpt2',
    tokenizerFiles: new Map(model.tokenizerFiles.map(({ path, bytes }) => [path, bytes])),
    stateFiles: stateEntries(stateOf(run, moment, snapshot), adapter),
    card: { dataName: settings.data.name, facts: runFacts(settings.training, moment.last, evalLoss) },
  });
  return {
    step: moment.step,
    parts,
    manifest: await manifestOf(run, base, adapter, settings.training),
    metrics: metricFigures(moment.last, evalLoss),
  };
}
