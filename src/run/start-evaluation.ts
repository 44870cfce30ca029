/** A model, with or without an adapter, made ready to be evaluated: nothing that trains is built. */
import { DEFAULT_FINETUNE, microBatchTokens, TrainingSession, type BaseModel } from '../engine/index.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import type { PreparedData } from './prepare-data.ts';

const NO_ADAPTER: LoraSettings = {
  rank: 1,
  alpha: 1,
  dropout: 0,
  rslora: false,
  targetModules: [],
  rankPattern: {},
  alphaPattern: {},
};

/** Builds the session. Throws ADAPTER_MISMATCH, GPU_LIMIT or MEMORY_EXCEEDED. */
export function startEvaluation(
  base: BaseModel,
  data: PreparedData,
  adapter: Adapter | null,
): Promise<TrainingSession> {
  return TrainingSession.create(base, {
    settings: adapter?.settings ?? NO_ADAPTER,
    start: adapter ? { tensors: adapter.tensors } : { seed: 0 },
    maxTokens: microBatchTokens(data, DEFAULT_FINETUNE),
    evaluate: true,
    train: false,
  });
}
