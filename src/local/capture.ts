/** A model of the programming interface at one moment as the files of a checkpoint, and back. */
import type { AdamParams, LoopState, Metadata } from '../api/types.ts';
import type { AdapterStart } from '../engine/index.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import { readAdapterFolder } from '../formats/archive-read.ts';
import { contentEntries } from '../formats/archive-write.ts';
import { withoutCommonFolder, type FileSet } from '../formats/file-set.ts';
import { hasTrainerState, readHfTrainer } from '../formats/hf-trainer.ts';
import type { Manifest } from '../formats/manifest.ts';
import { incompleteState } from '../formats/moments.ts';
import { hasState, readTrainingState, stateEntries } from '../formats/state-files.ts';
import { rowsTaken, type TrainingState } from '../formats/training-state.ts';
import { manifestOf, type CapturedCheckpoint, type SessionSnapshot } from '../run/capture.ts';
import { checkValues } from '../run/export-run.ts';
import type { OpenModel } from '../run/open-model.ts';

/** Where a model stands, besides its buffers. */
export interface ModelPosition {
  /** Steps that the optimizer did. */
  optimizerStep: number;
  /** Micro-batches since the last step: what keys the dropout. */
  micro: number;
  /** Calls of forwardBackward since the last step; above 0 there is an accumulated gradient. */
  calls: number;
  /** What the accumulated gradient can be divided by. */
  lossTokens: number;
  sequences: number;
}

export const FRESH: ModelPosition = { optimizerStep: 0, micro: 0, calls: 0, lossTokens: 0, sequences: 0 };

export interface StateToSave {
  model: OpenModel;
  settings: LoraSettings;
  /** Of dropout. */
  seed: number;
  position: ModelPosition;
  /** Those of the last step. */
  adam: Required<AdamParams>;
  loopState: LoopState | null;
  metadata: Metadata | null;
  device: string;
  appVersion: string;
}

/** Names of the texts in a checkpoint's metadata that this interface reads back. */
export const LOOP_STATE = 'loopState';
export const USER_METADATA = 'userMetadata';
/** What the interface calls a checkpoint whose name in the store has an ending. */
export const API_NAME = 'apiName';
const ACCUMULATED = 'accumulated';
const OWN_TEXTS: readonly string[] = [LOOP_STATE, API_NAME, ACCUMULATED];

/** What a checkpoint of this interface keeps as texts. */
export function metadataTexts(
  loopState: LoopState | null,
  metadata: Metadata | null,
): Record<string, string> {
  return {
    ...(loopState === null ? {} : { [LOOP_STATE]: JSON.stringify(loopState) }),
    ...(metadata === null ? {} : { [USER_METADATA]: JSON.stringify(metadata) }),
  };
}

function jsonOf<T>(text: string | undefined): T | null {
  if (text === undefined) return null;
  try {
    return JSON.parse(text) as T;
  } catch {
    return null;
  }
}

/** The user's metadata among a checkpoint's texts; other texts count as metadata of their own. */
export function userMetadataOf(texts: Readonly<Record<string, string>>): Metadata | null {
  const own = jsonOf<Metadata>(texts[USER_METADATA]);
  if (own !== null) return own;
  const others = Object.entries(texts).filter(([name]) => !OWN_TEXTS.includes(name));
  return others.length > 0 ? Object.fromEntries(others) : null;
}

export const stepOf = ({ position, loopState }: Pick<StateToSave, 'position' | 'loopState'>): number =>
  Math.max(position.optimizerStep, loopState?.step ?? 0);

function trainingState(what: StateToSave, snapshot: SessionSnapshot): TrainingState {
  const { position, adam, loopState, metadata } = what;
  const step = stepOf(what);
  const { lossTokens, sequences, micro, calls } = position;
  return {
    step,
    microStep: calls,
    epoch: loopState?.epoch ?? 0,
    optimizer: {
      type: 'adamw',
      step: position.optimizerStep,
      betas: [adam.beta1, adam.beta2],
      eps: adam.eps,
      weightDecay: adam.weightDecay,
      gradClip: adam.gradClipNorm,
    },
    moments: snapshot.moments,
    gradients: calls > 0 ? snapshot.gradients : null,
    scheduler: null,
    rng: { algo: 'philox4x32-10', seed: what.seed, counters: { step, micro: calls } },
    data: null,
    settings: {},
    best: null,
    lossTail: [],
    tokens: loopState?.tokensSeen ?? 0,
    metrics: [],
    metadata: {
      ...metadataTexts(loopState, metadata),
      ...(calls > 0 ? { [ACCUMULATED]: JSON.stringify({ lossTokens, sequences, micro }) } : {}),
    },
  };
}

/** The parts of a checkpoint: with a snapshot a full state, with tensors alone what samples need. */
export async function captureModel(
  what: StateToSave,
  held: SessionSnapshot | { tensors: Adapter['tensors'] },
): Promise<CapturedCheckpoint> {
  checkValues(held.tensors);
  const { model, settings } = what;
  const base = { id: model.id, revision: model.revision, ...model.hashes };
  const adapter: Adapter = { settings, baseModel: model.id, tensors: held.tensors };
  const step = stepOf(what);
  const parts = contentEntries({
    adapter,
    base,
    dtype: 'F32',
    fanInFanOut: model.config.family === 'gpt2',
    tokenizerFiles: new Map(model.tokenizerFiles.map(({ path, bytes }) => [path, bytes])),
    ...('moments' in held ? { stateFiles: stateEntries(trainingState(what, held), adapter) } : {}),
    card: { dataName: null, facts: [['Steps', String(step)]] },
  });
  return {
    step,
    parts,
    manifest: await manifestOf(what, base, adapter, what.adam),
    metrics: {},
  };
}

/** What a checkpoint gives a model to go on with. */
export interface ReadState {
  adapter: Adapter;
  /** Null for an adapter of another program. */
  base: Manifest['base'] | null;
  start: AdapterStart;
  position: ModelPosition;
  /** Null where the checkpoint does not say. */
  seed: number | null;
  adam: Required<AdamParams> | null;
  loopState: LoopState | null;
  metadata: Metadata | null;
}

/** The loop of the studio or the command line, as this interface says it. */
function loopStateOf(state: TrainingState): LoopState | null {
  const own = jsonOf<LoopState>(state.metadata[LOOP_STATE]);
  if (own !== null || state.scheduler === null || state.data === null) return own;
  const { scheduler, data } = state;
  const { learningRate, warmupSteps, totalSteps } = scheduler.params;
  return {
    step: state.step,
    epoch: state.epoch,
    nextBatch: rowsTaken(data),
    shuffleSeed: state.rng.seed,
    dataDigest: data.datasetSha256,
    lrSchedule: {
      type: scheduler.type,
      baseLr: learningRate,
      warmupSteps,
      totalSteps,
      position: scheduler.position,
    },
    tokensSeen: state.tokens,
  };
}

/**
 * Reads a checkpoint: the weights alone, or, with `optimizer`, everything. Throws STATE_INCOMPLETE where the moments are
 * asked for and missing.
 */
export async function readState(given: FileSet, optimizer: boolean): Promise<ReadState> {
  const files = withoutCommonFolder(given);
  const { adapter, manifest } = await readAdapterFolder(files);
  const { tensors } = adapter;
  const weights: ReadState = {
    adapter,
    base: manifest?.base ?? null,
    start: { tensors },
    position: FRESH,
    seed: null,
    adam: null,
    loopState: null,
    metadata: null,
  };
  if (!optimizer) return weights;
  const names = files.names();
  if (hasTrainerState(names)) {
    const hf = await readHfTrainer(files, adapter, { ordered: manifest !== null });
    const { betas, eps, weightDecay } = hf.adamw;
    return {
      ...weights,
      start: { tensors, moments: hf.moments },
      position: { ...FRESH, optimizerStep: hf.optimizerStep },
      adam: {
        learningRate: hf.learningRate,
        beta1: betas[0],
        beta2: betas[1],
        eps,
        weightDecay,
        gradClipNorm: 0,
      },
      loopState: { step: hf.step, epoch: hf.epoch },
    };
  }
  if (manifest === null || !hasState(names))
    throw incompleteState(`${files.label} holds an adapter and no training state`);
  const state = await readTrainingState(files, adapter, manifest);
  const { moments, gradients, rng, optimizer: adamw } = state;
  const accumulated = jsonOf<Pick<ModelPosition, 'lossTokens' | 'sequences' | 'micro'>>(
    state.metadata[ACCUMULATED],
  );
  return {
    ...weights,
    start: { tensors, moments, ...(gradients === null ? {} : { grads: gradients }) },
    position: {
      optimizerStep: adamw.step,
      calls: state.microStep,
      micro: accumulated?.micro ?? rng.counters.micro,
      lossTokens: accumulated?.lossTokens ?? 0,
      sequences: accumulated?.sequences ?? 0,
    },
    seed: rng.seed,
    adam: {
      learningRate: state.scheduler?.params.learningRate ?? 1e-4,
      beta1: adamw.betas[0],
      beta2: adamw.betas[1],
      eps: adamw.eps,
      weightDecay: adamw.weightDecay,
      gradClipNorm: adamw.gradClip,
    },
    loopState: loopStateOf(state),
    metadata: userMetadataOf(state.metadata),
  };
}
