/** The settings and figures of supervised fine-tuning, shared by the page, the worker and the command line. */
import type { LoraSettings } from '../../formats/adapter.ts';

export type ScheduleName = 'constant' | 'linear' | 'cosine';

/** One optimizer step's settings, as `torch.optim.AdamW` names them. */
export interface AdamParams {
  learningRate: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Largest global gradient norm; 0 turns clipping off. */
  gradClip: number;
}

/** Settings of a supervised run. A step is `batchSize * gradAccumulation` rows. */
export interface FinetuneConfig extends AdamParams {
  /** Passes over the data; ignored when `steps` is set. */
  epochs: number;
  /** Optimizer steps, or null to go by epochs. */
  steps: number | null;
  batchSize: number;
  gradAccumulation: number;
  schedule: ScheduleName;
  warmupSteps: number;
  seed: number;
  /** Shuffle the rows anew each epoch; false takes them in file order, wrapping at the end. */
  shuffle: boolean;
  /** Evaluate every so many steps and at the end; 0 means at the end alone. */
  evalEvery: number;
}

/** The defaults everywhere (engine.md section 6). */
export const DEFAULT_FINETUNE: Readonly<FinetuneConfig> = {
  epochs: 1,
  steps: null,
  batchSize: 8,
  gradAccumulation: 1,
  learningRate: 1e-4,
  schedule: 'constant',
  warmupSteps: 0,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-12,
  weightDecay: 0,
  gradClip: 0,
  seed: 0,
  shuffle: true,
  evalEvery: 0,
};

/** The adapter that a run starts from when none is given. */
export const DEFAULT_LORA: Readonly<Omit<LoraSettings, 'targetModules'>> = {
  rank: 8,
  alpha: 16,
  dropout: 0,
  rslora: false,
  rankPattern: {},
  alphaPattern: {},
};

/** What one optimizer step did. */
export interface StepMetrics {
  /** 1 for the first step. */
  step: number;
  /** Passes over the data that are done after this step, with a fraction. */
  epoch: number;
  /** Mean loss per trained token of the step, before the update. */
  loss: number;
  /** The rate that this step used. */
  lr: number;
  /** Global norm of the gradient before clipping. */
  gradNorm: number;
  /** Tokens of the step's rows. */
  tokens: number;
  trainedTokens: number;
  /** Seconds since the run began (pauses not counted). */
  seconds: number;
  tokensPerSecond: number;
  /** GPU bytes in use. */
  memoryBytes: number;
  /** Mean loss per trained token of the evaluation rows, where this step evaluated. */
  evalLoss?: number;
}

/** How text is generated. Temperature 0 is greedy. */
export interface GenerateOptions {
  maxTokens: number;
  temperature: number;
  /** 0 = off. */
  topK: number;
  /** 1 = off. */
  topP: number;
  seed: number;
  /** Token ids that end the text; they are not part of it. */
  stopIds: readonly number[];
  /** Multiplies the adapter's scale; 0 answers as the base model. */
  adapterScale: number;
}

export const DEFAULT_GENERATE: Readonly<GenerateOptions> = {
  maxTokens: 64,
  temperature: 0,
  topK: 0,
  topP: 1,
  seed: 0,
  stopIds: [],
  adapterScale: 1,
};
