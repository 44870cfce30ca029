/**
 * The values that programs hand in and get back, in camelCase. The names on the wire stand in remote/wire-*.ts; keys of
 * `userMetadata`, `metadata` and `metrics` are data and are never converted.
 */

/** AdamW, as PyTorch computes it. The defaults are those of the family: lr 1e-4, betas 0.9 and 0.95, eps 1e-12. */
export interface AdamParams {
  learningRate?: number;
  beta1?: number;
  beta2?: number;
  eps?: number;
  /** Decoupled. */
  weightDecay?: number;
  /** Largest global L2 norm of the gradient; 0 is off. */
  gradClipNorm?: number;
}

export interface SamplingParams {
  /** Most tokens to draw; a remote server that needs it gets what the context leaves. */
  maxTokens?: number;
  seed?: number;
  stop?: string | readonly string[] | readonly number[];
  /** 1 unless said otherwise; 0 takes the likeliest token. */
  temperature?: number;
  /** -1 is off. */
  topK?: number;
  topP?: number;
}

export interface LoraConfig {
  rank: number;
  /** Of the local engine; servers of the family fix it at 32. */
  alpha?: number;
  seed?: number;
  trainUnembed?: boolean;
  trainMlp?: boolean;
  trainAttn?: boolean;
}

export type Chunk =
  | { type: 'encoded_text'; tokens: readonly number[] }
  | { type: 'image'; data: string; format: 'png' | 'jpeg'; expectedTokens?: number }
  | { type: 'image_asset_pointer'; format: 'png' | 'jpeg'; location: string; expectedTokens?: number }
  | { type: 'dmel'; dmel: string };

export interface TensorData {
  data: readonly number[] | Float32Array | Int32Array | BigInt64Array;
  dtype: 'int64' | 'float32';
  shape?: readonly number[];
  sparseCrowIndices?: readonly number[];
  sparseColIndices?: readonly number[];
}

export type LossInput = TensorData | ArrayLike<number> | readonly (readonly number[])[];

/** One sequence: position i predicts token i + 1, so the caller shifts the targets. */
export interface Datum {
  modelInput: { chunks: readonly Chunk[] };
  lossFnInputs: Readonly<Record<string, LossInput>>;
}

export const LOSS_FNS = ['cross_entropy', 'importance_sampling', 'ppo', 'cispo', 'dro'] as const;
export type LossFnType = (typeof LOSS_FNS)[number];

export interface ForwardBackwardOutput {
  lossFnOutputType: string;
  /** One entry for each datum, in order; `logprobs` has the shape of its targets. */
  lossFnOutputs: Record<string, TensorData>[];
  /** `loss:sum` and what the backend measures besides. There is no `loss`. */
  metrics: Record<string, number>;
  /** Metrics that this client computed from the log-probabilities because the server gives none. */
  computedByClient?: string[];
}

export interface OptimStepResponse {
  metrics?: Record<string, number>;
  /** What failed before this step on a server that stepped all the same. */
  precedingFailure?: string;
}

export interface TrainingResult {
  loss: number;
  metrics: Record<string, number>;
  /** Optimizer steps of this client so far. */
  step: number;
}

/** Where a caller's loop goes on. It holds the next position to train, not the last one. */
export interface LoopState {
  step: number;
  epoch?: number;
  nextBatch?: number;
  shuffleSeed?: number;
  dataDigest?: string;
  lrSchedule?: { type: string; baseLr: number; warmupSteps: number; totalSteps: number; position: number };
  tokensSeen?: number;
  /** What the loop keeps besides, such as the iteration of an RL trainer. Any JSON. */
  extra?: Record<string, unknown>;
}

export type Metadata = Record<string, unknown>;

export interface SaveWeightsResponse {
  path: string;
  type: 'save_weights';
  metadata?: Metadata;
  sizeBytes?: number;
  digest?: string;
  step?: number;
}

export interface SaveWeightsForSamplerResponse {
  path: string;
  type: 'save_weights_for_sampler';
}

export type CheckpointEncoding = 'base' | 'delta' | 'merged_base';

export interface SaveSamplerResult {
  path: string;
  /** `<name>-<8 hex>`: this save among all of that name. */
  snapshotName: string;
  checkpointType: CheckpointEncoding;
  sizeBytes: number | null;
  /** Stored bytes of a base over stored bytes of this; 1 for a base. */
  compressionRatio: number;
}

export interface LoadWeightsResponse {
  path?: string;
  modelId?: string;
  /** Optimizer steps of the checkpoint, where the backend knows them and restored the optimizer. */
  step?: number;
  loopState?: LoopState;
  metadata?: Metadata;
}

export type CheckpointType = 'training' | 'sampler';

export interface Checkpoint {
  /** `weights/<name>` or `sampler_weights/<name>`. */
  checkpointId: string;
  checkpointType: CheckpointType;
  time: string;
  path: string;
  sizeBytes?: number;
  public: boolean;
  expiresAt?: string;
  baseModel?: string;
  userMetadata?: Record<string, string>;
  name: string;
  createTime: string;
  updateTime: string;
  encoding: CheckpointEncoding;
  promotable: boolean;
  rawCheckpointType?: string;
  /** As the server wrote it. */
  rawPath?: string;
  step?: number;
  sequence: number;
  epoch?: number;
  metrics?: Record<string, number>;
  metadata?: Metadata;
  parentPath?: string;
  tags?: string[];
  pinned: boolean;
  digest?: string;
  verifiedAt?: string;
  state: 'complete' | 'pending' | 'corrupt';
  storage: 'local' | 'remote' | 'cold';
}

export interface TrainingRun {
  trainingRunId: string;
  baseModel: string;
  modelOwner: string;
  isLora: boolean;
  corrupted: boolean;
  loraRank?: number;
  lastRequestTime: string;
  lastCheckpoint?: Checkpoint;
  lastSamplerCheckpoint?: Checkpoint;
  userMetadata?: Record<string, string>;
}

export interface Cursor {
  offset: number;
  limit: number;
  totalCount: number;
}

export interface TrainingRunsResponse {
  trainingRuns: TrainingRun[];
  cursor: Cursor;
}

export interface CheckpointsListResponse {
  checkpoints: Checkpoint[];
  cursor?: Cursor;
  nextPageToken?: string;
}

export interface CheckpointArchiveUrlResponse {
  url: string;
  expires: string;
}

export interface WeightsInfoResponse {
  baseModel: string;
  isLora: boolean;
  loraRank?: number;
  trainUnembed?: boolean;
  trainMlp?: boolean;
  trainAttn?: boolean;
  /** Ours: the scale, and the modules where they were named one by one. */
  alpha?: number;
  targetModules?: string[];
}

export interface GetInfoResponse {
  modelData: { arch?: string; modelName: string; tokenizerId?: string };
  modelId: string;
  isLora: boolean;
  loraRank?: number;
  modelName: string;
}

export interface SupportedModel {
  modelName: string;
  maxContextLength?: number;
}

export interface GetServerCapabilitiesResponse {
  supportedModels: SupportedModel[];
}

export interface SampledSequence {
  stopReason: 'stop' | 'length';
  tokens: number[];
  /** Of the distribution before temperature and filters. */
  logprobs?: number[];
}

export interface SampleResponse {
  sequences: SampledSequence[];
  /** One entry for each prompt token; the first is null. */
  promptLogprobs?: (number | null)[];
  topkPromptLogprobs?: ([number, number][] | null)[];
  promptCacheHitTokens: number;
  /** Which weights answered. */
  snapshot?: string;
}

export type QueueState = 'active' | 'paused_capacity' | 'paused_rate_limit' | 'unknown';

/** Text to tokens and back, as the caller brings it for a base model. */
export interface ApiTokenizer {
  encode(text: string): number[];
  decode(tokens: readonly number[]): string;
}
