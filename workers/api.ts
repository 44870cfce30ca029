/**
 * The contract between the page and the training worker: types only.
 * The worker is the truth about model, data and run; the page mirrors what the events say.
 */
import type { RejectedRow } from '../src/data/types.ts';
import type { FinetuneConfig, StepMetrics } from '../src/engine/train/types.ts';
import type { ErrorFields } from '../src/errors.ts';
import type { CheckpointRow, CheckpointsApi, SavePolicy } from './checkpoints-api.ts';
import type { ExamplesApi } from './examples-api.ts';

/** What this browser can do. `error` says why training cannot run here. */
export interface Capability {
  gpu: {
    name: string;
    software: boolean;
    maxBufferSize: number;
    maxBindingSize: number;
    features: string[];
  } | null;
  error: ErrorFields | null;
}

export type ModelChoice =
  | { kind: 'embedded' }
  | { kind: 'files'; files: readonly { path: string; file: File }[] }
  | { kind: 'hub'; id: string; revision?: string; hubUrl?: string };

/** Progress of something with a known size. */
export interface Progress {
  label: string;
  done: number;
  total: number;
}

export interface ModelSummary {
  id: string;
  /** Family by its public name, such as `Llama` or `GPT-2`. */
  family: string;
  parameters: number;
  dtype: string;
  layers: number;
  hidden: number;
  vocabulary: number;
  maxPositions: number;
  hasChatTemplate: boolean;
  /** Names that can be adapted, such as `q_proj`. */
  linearModules: string[];
  gpuBytes: number;
}

export type DataChoice = { kind: 'demo'; id: string } | { kind: 'file'; file: File };

export interface DataOptions {
  trainOn: 'completion' | 'all';
  /** Wrap plain prompt/completion rows as a chat. */
  chat: boolean;
  maxLength: number;
  /** Part of the rows kept for evaluation, 0 to 0.5. */
  evalSplit: number;
  seed: number;
}

/** A piece of a row in the preview; adjoining pieces of the same kind are joined. */
export interface TokenPiece {
  text: string;
  trained: boolean;
}

export interface DataSummary {
  name: string;
  /** The detected format, in words. */
  format: string;
  rows: number;
  trainRows: number;
  evalRows: number;
  rejected: RejectedRow[];
  truncated: number;
  duplicates: number;
  tokens: number;
  trainedTokens: number;
  /** Row lengths in tokens. */
  p50: number;
  p95: number;
  longest: number;
  /** The first rows as the training sees them. */
  preview: TokenPiece[][];
  /** A prompt that shows the effect of training on this data; empty when there is none. */
  samplePrompt: string;
  /** Columns that the format does not use. */
  ignoredFields: string[];
  /** What the person should know: settings that could not be followed, odd rows. */
  notes: string[];
}

export interface LoraChoice {
  rank: number;
  alpha: number;
  dropout: number;
  rslora: boolean;
  targets: 'all-linear' | string[];
}

export interface RunRequest {
  lora: LoraChoice;
  training: FinetuneConfig;
  /** Asked before, during and after training. */
  samplePrompt: string;
  /** Ask every so many steps; 0 = before and after only. */
  sampleEvery: number;
  /** When the run saves itself and what it keeps; null saves nothing. */
  save: SavePolicy | null;
  /** A checkpoint to go on from: everything (the settings above are then the run's own), or its weights alone. */
  from?: { checkpointId: string; how: 'resume' | 'warm-start' };
}

/** The figures of a step as a checkpoint keeps them. */
export interface StepRecord {
  step: number;
  loss?: number;
  evalLoss?: number;
  lr?: number;
  gradNorm?: number;
}

/** Memory that a run will take, before it starts. */
export interface MemoryEstimate {
  weights: number;
  adapter: number;
  activations: number;
  total: number;
  trainable: number;
  parameters: number;
  steps: number;
}

export type RunState =
  'idle' | 'preparing' | 'running' | 'paused' | 'stopping' | 'done' | 'stopped' | 'failed';

export type RunEvent =
  | { type: 'state'; state: RunState }
  | { type: 'plan'; steps: number; memory: MemoryEstimate }
  | { type: 'progress'; progress: Progress }
  /** At most ten batches a second; `metrics` in order of step. */
  | { type: 'metrics'; metrics: StepMetrics[] }
  /** Evaluation loss before the first step (step 0). */
  | { type: 'evaluation'; step: number; loss: number }
  | { type: 'sample'; step: number; prompt: string; text: string; done: boolean }
  /** The run in the store. `from` names the checkpoint that it went on from, and what that promises. */
  | { type: 'run'; id: string; name: string; from: { name: string; step: number; note: string } | null }
  /** What a resumed run has done before. */
  | { type: 'history'; records: StepRecord[] }
  /** `stallMs` is how long training was held, `ms` how long the save took. */
  | {
      type: 'saved';
      checkpoint: CheckpointRow;
      stallMs: number;
      ms: number;
      bytes: number;
      removed: string[];
    }
  /** A save by rule failed; the run goes on in memory. */
  | { type: 'saveFailed'; error: ErrorFields }
  | { type: 'error'; error: ErrorFields };

/** What the worker offers through comlink. Every rejection carries `ErrorFields` as JSON in its message (see src/client). */
export interface StudioApi extends CheckpointsApi, ExamplesApi {
  capability(): Promise<Capability>;
  /** Replaces the model; the previous one is freed, and a download of it that still goes on ends with CANCELLED. */
  loadModel(choice: ModelChoice, onProgress: (progress: Progress) => void): Promise<ModelSummary>;
  /** Reads, checks and tokenises the data with the loaded model's tokenizer. */
  loadData(choice: DataChoice, options: DataOptions): Promise<DataSummary>;
  /** Runs to the end, to `stop()` or to an error; events tell the rest. Resolves when the run is over. */
  start(request: RunRequest, onEvent: (event: RunEvent) => void): Promise<void>;
  /** Holds the run before its next step; resolves when it stands, or is over. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends the run after the step under way; what was learned so far is kept. */
  stop(): Promise<void>;
  /** Answers a prompt with the trained adapter (scale 1) or the base model (scale 0). */
  answer(prompt: string, adapterScale: number, maxTokens: number): Promise<string>;
  /** The adapter of the last run as a `.tar.gz`; of a run that is still going as it is after the step under way. */
  exportAdapter(options: { dtype: 'F32' | 'BF16' }): Promise<{ name: string; blob: Blob }>;
  dispose(): Promise<void>;
}
