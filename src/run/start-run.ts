/** A training run made ready: settings checked, everything on the GPU, nothing trained yet. */
import {
  checkFinetune,
  microBatchTokens,
  resolveTargets,
  totalSteps,
  TrainingSession,
  type BaseModel,
  type FinetuneConfig,
  type SessionMemory,
} from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import type { OpenModel } from './open-model.ts';
import type { PreparedData } from './prepare-data.ts';

export interface LoraRequest {
  rank: number;
  alpha: number;
  dropout: number;
  rslora: boolean;
  targets: 'all-linear' | readonly string[];
}

export interface RunRequest {
  /** A fresh adapter, or one to go on from with its own settings. */
  lora: LoraRequest | { adapter: Adapter };
  training: FinetuneConfig;
}

export interface Run {
  session: TrainingSession;
  settings: LoraSettings;
  training: FinetuneConfig;
  /** Name of the data file, for the model card. */
  dataName: string;
  /** GPU bytes by what they are for: all of them, since steps allocate nothing. */
  memory: SessionMemory;
  /** Optimizer steps to the end of the run. */
  steps: number;
  trainableParameters: number;
}

/** Checks everything and builds the session. Throws OPTION_INVALID, ADAPTER_MISMATCH, GPU_LIMIT or MEMORY_EXCEEDED. */
export async function startRun(
  base: BaseModel,
  model: OpenModel,
  data: PreparedData,
  request: RunRequest,
): Promise<Run> {
  const { lora, training } = request;
  checkFinetune(training, data);
  const settings = 'adapter' in lora ? lora.adapter.settings : freshSettings(model, lora);
  checkDropout(settings.dropout);
  const session = await TrainingSession.create(base, {
    settings,
    start: 'adapter' in lora ? { tensors: lora.adapter.tensors } : { seed: training.seed },
    maxTokens: microBatchTokens(data, training),
    evaluate: data.evaluation.length > 0,
  });
  return {
    session,
    settings,
    training,
    dataName: data.summary.name,
    memory: session.memory(),
    steps: totalSteps(training, data.train.length),
    trainableParameters: session.state.layout.parameters,
  };
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
