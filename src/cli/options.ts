/** What the commands take, as typed values: the names are those of the options in camel case. */
import type { TrainOn } from '../data/encode-row.ts';
import type { ScheduleName } from '../engine/index.ts';

export interface CommonOptions {
  /** Part of the name of a GPU, or `auto`. */
  device: string;
  /** Results as JSON on stdout. */
  json: boolean;
  /** No progress and no notes on stderr. */
  quiet: boolean;
}

export interface DataOptions {
  data: string;
  maxLength: number;
  trainOn: TrainOn;
  chat: boolean;
}

/** Where checkpoints are kept. */
export interface StoreOptions {
  store: string;
}

export interface SaveOptions {
  /** False keeps nothing. */
  save: boolean;
  saveEvery: number;
  saveMinutes: number;
  keepLatest?: number;
  keepBest?: number;
  keepEvery?: number;
  /** Seconds that checkpoints saved by rule live. */
  ttl?: number;
  delta: boolean;
}

export interface FinetuneOptions extends CommonOptions, StoreOptions, SaveOptions, Omit<DataOptions, 'data'> {
  /** Of a new run; a resumed one has its own. */
  model?: string;
  data?: string;
  out?: string;
  /** Name of the run. */
  name?: string;
  /** `RUN` or `RUN/NAME`. */
  resume?: string;
  /** Names of the options that were given, by their own names here. */
  given: readonly string[];
  rank: number;
  alpha: number;
  dropout: number;
  rslora: boolean;
  targets: 'all-linear' | string[];
  initAdapter?: string;
  epochs: number;
  steps?: number;
  batchSize: number;
  gradAccumulation: number;
  lr: number;
  schedule: ScheduleName;
  warmupSteps: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  gradClip: number;
  seed: number;
  shuffle: boolean;
  evalData?: string;
  /** 0 where nothing is split off. */
  evalSplit: number;
  evalEvery: number;
  metrics?: string;
  adapterDtype: 'f32' | 'bf16';
}

export interface GenerateOptions extends CommonOptions {
  model: string;
  adapter?: string;
  prompt?: string;
  messages?: string;
  raw: boolean;
  maxTokens: number;
  temperature: number;
  topK: number;
  topP: number;
  seed: number;
  stop: string[];
  adapterScale: number;
  logprobs: boolean;
}

export interface EvaluateOptions extends CommonOptions, DataOptions {
  model: string;
  adapter?: string;
  adapterScale: number;
}

/** The settings of a run that decide its numbers. */
export type TrainingOptions = Pick<
  FinetuneOptions,
  | 'rank'
  | 'alpha'
  | 'dropout'
  | 'rslora'
  | 'targets'
  | 'epochs'
  | 'steps'
  | 'batchSize'
  | 'gradAccumulation'
  | 'lr'
  | 'schedule'
  | 'warmupSteps'
  | 'beta1'
  | 'beta2'
  | 'eps'
  | 'weightDecay'
  | 'gradClip'
  | 'seed'
  | 'shuffle'
  | 'evalData'
  | 'evalSplit'
  | 'evalEvery'
>;

export interface VerifyResumeOptions extends CommonOptions, DataOptions, TrainingOptions {
  model: string;
  before: number;
  after: number;
}
