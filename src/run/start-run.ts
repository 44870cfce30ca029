/** A training run made ready: settings checked, everything on the GPU, nothing trained yet. */
import {
  checkFinetune,
  microBatchTokens,
  resolveTargets,
  totalSteps,
  TrainingSession,
  type AdapterStart,
  type BaseModel,
  type FinetuneConfig,
  type RunPosition,
  type SessionMemory,
} from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import type { RunIdentity } from './capture.ts';
import { hashRows } from './data-hash.ts';
import type { OpenModel } from './open-model.ts';
import type { PreparedData } from './prepare-data.ts';
import { checkResume, positionOf, sessionStart, type RestoredRun } from './restore.ts';
import { newLog, type RunLog } from './run-log.ts';

export interface LoraRequest {
  rank: number;
  alpha: number;
  dropout: number;
  rslora: boolean;
  targets: 'all-linear' | readonly string[];
}

export interface RunRequest {
  /** A fresh adapter, one to go on from with its own settings (warm start), or all of a checkpoint (resume). */
  lora: LoraRequest | { adapter: Adapter } | { resume: RestoredRun };
  training: FinetuneConfig;
  /** Name of the GPU, for what the run writes. */
  device: string;
  appVersion: string;
}

export interface Run {
  session: TrainingSession;
  settings: LoraSettings;
  training: FinetuneConfig;
  /** What checkpoints of the run say of it. */
  identity: RunIdentity;
  /** Where it begins: at 0, or where its checkpoint stands. */
  from: RunPosition;
  /** What it has done before. */
  log: RunLog;
  /** Name of the data file, for the model card. */
  dataName: string;
  /** GPU bytes by what they are for: all of them, since steps allocate nothing. */
  memory: SessionMemory;
  /** Optimizer steps to the end of the run. */
  steps: number;
  trainableParameters: number;
}

/**
 * Checks everything and builds the session. Throws OPTION_INVALID, ADAPTER_MISMATCH, GPU_LIMIT or MEMORY_EXCEEDED, and
 * for a checkpoint that this run would not be the same run with, what `checkResume` throws.
 */
export async function startRun(
  base: BaseModel,
  model: OpenModel,
  data: PreparedData,
  request: RunRequest,
): Promise<Run> {
  const { lora, training } = request;
  checkFinetune(training, data);
  const resume = 'resume' in lora ? lora.resume : null;
  const settings = loraSettings(model, lora);
  checkDropout(settings.dropout);
  const maxTokens = microBatchTokens(data, training);
  const identity: RunIdentity = {
    model,
    settings: { data: data.preparation, training },
    lora: settings,
    data: { rows: data.train.length, sha256: hashRows(data) },
    maxTokens,
    steps: totalSteps(training, data.train.length),
    device: request.device,
    appVersion: request.appVersion,
  };
  if (resume !== null) checkResume(resume, identity);
  const session = await TrainingSession.create(base, {
    settings,
    start: adapterStart(lora, training.seed),
    maxTokens,
    evaluate: data.evaluation.length > 0,
  });
  return {
    session,
    settings,
    training,
    identity,
    from: resume === null ? { step: 0, rowsTaken: 0 } : positionOf(resume.state),
    log: newLog(resume?.state),
    dataName: data.summary.name,
    memory: session.memory(),
    steps: identity.steps,
    trainableParameters: session.state.layout.parameters,
  };
}

function loraSettings(model: OpenModel, lora: RunRequest['lora']): LoraSettings {
  if ('resume' in lora) return lora.resume.adapter.settings;
  return 'adapter' in lora ? lora.adapter.settings : freshSettings(model, lora);
}

function adapterStart(lora: RunRequest['lora'], seed: number): AdapterStart {
  if ('resume' in lora) return sessionStart(lora.resume);
  return 'adapter' in lora ? { tensors: lora.adapter.tensors } : { seed };
}

function freshSettings({ config }: OpenModel, lora: LoraRequest): LoraSettings {
  const { rank, alpha, dropout, rslora, targets } = lora;
  const targetModules = resolveTargets(config, targets);
  return { rank, alpha, dropout, rslora, targetModules, rankPattern: {}, alphaPattern: {} };
}

function checkDropout(dropout: number): void {
  if (dropout >= 0 && dropout < 1) return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `The dropout is ${dropout}.`,
    fix: 'Use a number from 0 to below 1.',
  });
}
