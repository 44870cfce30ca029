/** Training loops on the public clients, to use or to copy: SFT, RL and DPO, with schedules, renderers and checkpoints. */
export { trainSft, evaluateNll, type SftOptions, type SftResult, type SftStep } from './sft.ts';
export { trainRl, type RlOptions, type RlResult, type RlRollouts, type RlStep } from './rl.ts';
export { scorePairs, trainDpo, type DpoOptions, type DpoResult, type DpoStep } from './dpo.ts';
export {
  completionLogprob,
  dpoLoss,
  dpoMetrics,
  pairDatums,
  type DpoMetrics,
  type PairLogprobs,
  type PreferencePair,
} from './dpo-loss.ts';
export { openClient, type OpenClientOptions } from './open-client.ts';
export { completionDatum, supervisedDatum, type SupervisedExample } from './datum.ts';
export { meanNll, weightedNll, type Nll } from './loss-figures.ts';
export { dataDigest, type LoopOptions } from './loop-position.ts';
export { learningRateAt, SCHEDULES, type LrSchedule, type ScheduleName } from './schedules.ts';
export {
  getLoraParamCount,
  getLr,
  type AdapterExtent,
  type LrFamily,
  type ModelShape,
} from './model-figures.ts';
export { batchItems, batchesPerEpoch, totalBatches, type BatchPlan } from './batches.ts';
export { type SavingOptions } from './saving.ts';
export { chatTemplate, type ChatTemplateOptions } from './renderers/chat-template.ts';
export { roleColon } from './renderers/role-colon.ts';
export {
  TRAIN_ON,
  type ParsedResponse,
  type Renderer,
  type RendererMessage,
  type TrainOnWhat,
} from './renderers/renderer.ts';
export {
  runRlExample,
  type RlExampleOptions,
  type RlExampleProgress,
  type RlExampleResult,
  type RlExampleStep,
} from './examples/rl-form.ts';
export {
  runDpoExample,
  type DpoExampleOptions,
  type DpoExampleProgress,
  type DpoExampleResult,
  type DpoExampleStep,
} from './examples/sft-then-dpo.ts';
