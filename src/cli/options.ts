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

export interface FinetuneOptions extends CommonOptions, DataOptions {
  model: string;
  out: string;
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
