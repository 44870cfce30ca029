/**
 * The engine's public face: load a model on a GPUDevice, train a LoRA adapter, generate text. It knows nothing of the
 * page, files, storage or the network; hosts hand everything in.
 */
export { describeAdapter, requestEngineDevice, type DeviceInfo } from './gpu/device.ts';
export { shaderSources } from './gpu/shaders.ts';
export { autotune } from './gpu/autotune.ts';
export { isTuning, type Tuning } from './gpu/tuning.ts';
export { FAMILY_NAMES, parseModelConfig, type ModelConfig } from './model/config.ts';
export { loadBaseModel, type BaseModel } from './model/base-model.ts';
export { resolveTargets, layoutAdapter } from './model/adapter-layout.ts';
export { targetNames } from './model/modules.ts';
export { TrainingSession, type SessionMemory, type SessionOptions } from './train/session.ts';
export { AdapterState, type AdapterStart } from './train/adapter-state.ts';
export { checkAdamParams } from './train/adam-params.ts';
export { type GradientNorms } from './train/gradient-norms.ts';
export {
  checkLossData,
  groupLossData,
  packLossData,
  type LossBatch,
  type LossDatum,
} from './train/loss-data.ts';
export {
  forwardBackwardData,
  forwardData,
  longestDatum,
  promptLogprobs,
  type LossKeys,
  type LossOptions,
  type LossResult,
} from './train/loss-step.ts';
export { LOSS_NAMES, lossFrom, lossTerm, type Loss, type LossName, type LossTerm } from './train/losses.ts';
export {
  checkFinetune,
  evaluateLoss,
  finetune,
  microBatchTokens,
  sessionTrainer,
  totalSteps,
  type FinetuneData,
  type FinetuneHooks,
  type FinetuneResult,
  type RunPosition,
  type StepBatch,
  type Trainer,
} from './train/finetune.ts';
export { scheduleFactor, type Schedule } from './train/schedule.ts';
export {
  DEFAULT_FINETUNE,
  DEFAULT_GENERATE,
  DEFAULT_LORA,
  type AdamParams,
  type FinetuneConfig,
  type GenerateOptions,
  type ScheduleName,
  type StepMetrics,
} from './train/types.ts';
export { Generator, type Draw } from './generate/generator.ts';
export type { AdapterSource } from './generate/decoder.ts';
export type { Choice } from './generate/choose.ts';
