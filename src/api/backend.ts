/**
 * What serves the clients: the engine and the store of this machine, or a server. Clients check arguments, give out
 * turns, split and combine batches; a backend carries out single requests. It is handed checked values only.
 *
 * Ordering. A client calls the training methods of a model one at a time and calls the next when the promise of the one
 * before has settled ("accepted"). A backend must give effects in that order, and may work on several requests at once.
 * `Accepted.result` settles when the effect is there; results may settle in any order.
 *
 * Atomicity. A promise that rejects, at acceptance or as a result, has had no effect, with one exception that the method
 * names. Errors are those of errors.ts and own-errors.ts.
 */
import type { CapabilityReport } from './capabilities.ts';
import type { NameRule } from './names.ts';
import type { FullLoraConfig, FullSamplingParams } from './parameters.ts';
import type { ParsedCheckpointPath } from './paths.ts';
import type { TrainingCall } from './training-call.ts';
import type {
  AdamParams,
  ApiTokenizer,
  Checkpoint,
  CheckpointArchiveUrlResponse,
  CheckpointEncoding,
  CheckpointsListResponse,
  CheckpointType,
  Chunk,
  ForwardBackwardOutput,
  GetInfoResponse,
  GetServerCapabilitiesResponse,
  LoadWeightsResponse,
  LoopState,
  Metadata,
  OptimStepResponse,
  QueueState,
  SampleResponse,
  SaveSamplerResult,
  SaveWeightsResponse,
  TrainingRun,
  TrainingRunsResponse,
  WeightsInfoResponse,
} from './types.ts';

/** The place of a request among those of its client. */
export interface Turn {
  /** From 1, without gaps. */
  readonly seqId: number;
  /** The first part of its call, for which a server may hold back the others. */
  readonly first?: boolean;
  /** Told while the request waits. */
  onQueueState(state: QueueState, reason?: string): void;
}

/** A request that was taken: its turn is over, its work is not. */
export interface Accepted<T> {
  readonly requestId: string;
  readonly result: Promise<T>;
}

/** How a batch is split. Sizes are estimates: tokens 4 bytes, tensors their dtype, images their encoded size. */
export interface ChunkLimits {
  readonly maxDatums: number;
  readonly maxBytes: number;
  /** The chunks of one call go out at once, the first one last. */
  readonly parallel: boolean;
}

export interface OptimStepRequest {
  adam: Required<AdamParams>;
  gradAccumulationNormalization: 'none' | 'num_loss_tokens' | 'num_sequences';
  emitGradNormMetrics: 'off' | 'basic' | 'detailed';
}

export interface SaveStateRequest {
  name: string;
  ttlSeconds: number | null;
  overwrite: boolean;
  metadata: Metadata | null;
  loopState: LoopState | null;
  /** Another store to write to, such as `s3://…`; null is the backend's own. */
  external: string | null;
}

export interface SaveSamplerRequest {
  /** Null: an ephemeral snapshot, for one sampler. */
  name: string | null;
  ttlSeconds: number | null;
  checkpointType: CheckpointEncoding;
}

/** What a save for sampling gives: a path for a named one, or what addresses the ephemeral snapshot. */
export type SavedSampler =
  | { kind: 'named'; result: SaveSamplerResult }
  | { kind: 'ephemeral'; samplerId: string; snapshotName: string };

export interface LoadRequest {
  path: ParsedCheckpointPath;
  /** True: moments, step, accumulated gradient and RNG too; false: those are reset. */
  optimizer: boolean;
  weightsAccessToken: string | null;
}

/** The parts that a custom loss is sent as. */
export interface CustomLossParts {
  /** The batch as it went through `forward` with cross_entropy. */
  call: TrainingCall;
  /** logprobs: [datum][N] of the forward pass. */
  logprobs: readonly Float32Array[];
  /** gradLogprobs: [datum][N], ∂C/∂logprobs. */
  gradLogprobs: readonly Float32Array[];
}

/** A model being trained. One writer at a time; two models are independent. */
export interface BackendModel {
  /** The run that its checkpoints belong to. A server that loads only into fresh models changes it on load. */
  readonly runId: string;
  readonly baseModel: string;
  readonly lora: FullLoraConfig;
  /** The `seqId` of the first request to come: 1, or 2 where the model was loaded by a request of its own. */
  readonly firstSeqId: number;
  readonly limits: ChunkLimits;

  /**
   * Refuses, at once and before any turn, what this backend cannot compute, and rewrites what must be said otherwise to
   * mean the same. Pure but for warnings.
   */
  prepare(call: TrainingCall, backward: boolean): TrainingCall;
  /** The call whose gradient is that of a custom loss: cross_entropy with weights −∂C/∂logprobs, or what equals it. */
  customLossCall(parts: CustomLossParts): TrainingCall;

  /** No gradient, no change. */
  forward(call: TrainingCall, turn: Turn): Promise<Accepted<ForwardBackwardOutput>>;
  /**
   * Adds the gradient of the summed loss to the accumulator. When it fails, its share of the gradient is dropped
   * (locally), or what the server does is reported by the client (remotely).
   */
  forwardBackward(call: TrainingCall, turn: Turn): Promise<Accepted<ForwardBackwardOutput>>;
  /**
   * Applies the accumulator and clears it. Locally it rejects with PrecedingOperationFailedError, and clears, where a
   * forwardBackward since the last step has failed.
   */
  optimStep(request: OptimStepRequest, turn: Turn): Promise<Accepted<OptimStepResponse>>;
  /**
   * Saves the state after everything submitted before and before everything after. Resolves when the checkpoint is
   * committed and listed; until then, and when it fails, an older one of the same name stays.
   */
  saveState(request: SaveStateRequest, turn: Turn): Promise<Accepted<SaveWeightsResponse>>;
  /** Saves the weights for sampling, with the same promises. */
  saveWeightsForSampler(request: SaveSamplerRequest, turn: Turn): Promise<Accepted<SavedSampler>>;
  /** All fits and is loaded, or nothing changes: compatibility is checked before any buffer is written. */
  load(request: LoadRequest, turn: Turn): Promise<Accepted<LoadWeightsResponse>>;
  /** Turns that were given out and will not be used, because the call failed before it could send them. */
  skip(seqIds: readonly number[]): void;

  info(): Promise<GetInfoResponse>;
  /** Null where the backend has none; the caller's own is used then. */
  tokenizer(): Promise<ApiTokenizer | null>;
  /** Calls back when a load moved the model to another run. Returns what ends that. */
  onRunReplaced(callback: (runId: string, formerRunId: string) => void): () => void;
  /** Settles what is pending, frees buffers, the server's slot and the run's lock. May be called twice. */
  unload(): Promise<void>;
}

export interface ModelSpec {
  baseModel: string;
  lora: FullLoraConfig;
  /** Modules by name instead of the three groups; null: by group. */
  targetModules: readonly string[] | null;
  userMetadata: Readonly<Record<string, string>> | null;
}

export interface CreatedModel {
  model: BackendModel;
  /** What the load gave; null for a fresh adapter. */
  loaded: LoadWeightsResponse | null;
}

export type SamplerSource =
  { modelPath: ParsedCheckpointPath } | { baseModel: string } | { samplerId: string; snapshotName: string };

export interface SampleRequest {
  prompt: readonly Chunk[];
  numSamples: number;
  params: FullSamplingParams;
  promptLogprobs: boolean;
  /** 0 is off. */
  topkPromptLogprobs: number;
}

/** One more token of a sample, or its end. */
export type StreamEvent =
  { sample: number; token: number; logprob?: number } | { sample: number; stopReason: 'stop' | 'length' };

/** Answers with one snapshot of weights until `hotLoad` gives it another. */
export interface BackendSampler {
  readonly baseModel: string;
  /** Path or name of the weights that answer; null is the base model. */
  readonly snapshot: string | null;
  /** Requests may be answered in any order. The same seed gives the same tokens. */
  sample(request: SampleRequest, turn: Turn): Promise<Accepted<SampleResponse>>;
  /** Null where the backend gives whole results only. */
  stream: ((request: SampleRequest, signal?: AbortSignal) => AsyncIterable<StreamEvent>) | null;
  /** Requests accepted before finish on the old weights. When it rejects, the old weights go on serving. */
  hotLoad(path: ParsedCheckpointPath): Promise<void>;
  tokenizer(): Promise<ApiTokenizer | null>;
  /** A value that can be cloned to another worker or tab of the same backend, and opened there. */
  handle(): Promise<SamplerHandle>;
  close(): Promise<void>;
}

export interface SamplerHandle {
  readonly kind: 'lorikeet-sampler';
  readonly modelPath: string | null;
  readonly baseModel: string;
  readonly samplerId: string | null;
}

export type AccessScope = 'owned' | 'accessible';

export interface SearchQuery {
  projectIds?: readonly string[];
  userMetadata?: Readonly<Record<string, string>>;
  checkpointType?: CheckpointType;
  owner?: string;
  baseModels?: readonly string[];
  name?: string;
  minStep?: number;
  maxStep?: number;
  metric?: { name: string; min?: number; max?: number };
  tag?: string;
  nextCursor?: string;
}

export interface DownloadRequest {
  /** First byte wanted; above 0 to resume. */
  from: number;
  format: 'tar.gz' | 'tar' | 'zip' | null;
  layout: 'peft' | 'bios' | 'tinker' | null;
  signal?: AbortSignal;
}

export interface Download {
  body: ReadableStream<Uint8Array>;
  /** Of the whole archive; null where the server does not say. */
  totalBytes: number | null;
  /** Where `body` begins: `from`, or 0 where the backend cannot resume. */
  from: number;
  fileName: string;
  /** Hex, where it is known beforehand. */
  sha256: string | null;
}

/** Runs and checkpoints, whoever made them. Each change is whole or not at all. */
export interface BackendRegistry {
  getTrainingRun(runId: string, scope: AccessScope): Promise<TrainingRun>;
  listTrainingRuns(o: {
    limit: number;
    offset: number;
    scope: AccessScope;
    projectId: string | null;
  }): Promise<TrainingRunsResponse>;
  weightsInfo(path: ParsedCheckpointPath, weightsAccessToken: string | null): Promise<WeightsInfoResponse>;
  /** All checkpoints of a run in any order; the client sorts and pages. Rejects with NotFoundError for an unknown run. */
  listCheckpoints(runId: string): Promise<Checkpoint[]>;
  listUserCheckpoints(o: { limit: number; offset: number }): Promise<CheckpointsListResponse>;
  searchCheckpoints(query: SearchQuery): Promise<{ checkpoints: Checkpoint[]; nextCursor?: string }>;
  deleteCheckpoint(path: ParsedCheckpointPath): Promise<void>;
  setPublic(path: ParsedCheckpointPath, value: boolean): Promise<void>;
  /** Null removes the expiry. */
  setTtl(path: ParsedCheckpointPath, seconds: number | null): Promise<void>;
  setPinned(path: ParsedCheckpointPath, pinned: boolean): Promise<void>;
  archiveUrl(path: ParsedCheckpointPath): Promise<CheckpointArchiveUrlResponse>;
  download(path: ParsedCheckpointPath, request: DownloadRequest): Promise<Download>;
  /**
   * Takes a checkpoint back under the path that it had: `body` is what `download` gave for it without format and layout,
   * `row` its row then, with step, metadata and metrics. All of it is there when it resolves, or nothing is. Left out where
   * the backend cannot.
   */
  restore?(path: ParsedCheckpointPath, body: ReadableStream<Uint8Array>, row: Checkpoint): Promise<void>;
  /** Materialises, verifies, then publishes under the name; nothing is staged for an id that is taken or invalid. */
  promote(path: ParsedCheckpointPath, outputModelId: string): Promise<{ modelId: string }>;
  listModels(): Promise<{ modelId: string; baseModel: string; createTime: string }[]>;
  /** Copies a checkpoint into a run of its own and resolves with the new path. */
  copyWeights(
    path: ParsedCheckpointPath,
    o: { ttlSeconds: number | null; weightsAccessToken: string | null },
  ): Promise<string>;
  storageUsage(): Promise<{
    usedBytes: number;
    quotaBytes: number | null;
    freeBytes: number | null;
    byRun: Record<string, number>;
  }>;
  /** Brings a foreign adapter in as a sampler checkpoint. */
  importAdapter(files: ReadonlyMap<string, Uint8Array>, o: { name: string }): Promise<{ path: string }>;
  /** The service's own pages (sessions, billing, audit, ...); `null` results are never invented. */
  service(request: ServiceRequest): Promise<unknown>;
}

export type ServiceRequest =
  | { kind: 'getSession'; sessionId: string }
  | { kind: 'listSessions'; limit: number; offset: number }
  | { kind: 'assignSessionProject'; sessionId: string; projectId: string }
  | { kind: 'exportSessionTrace'; sessionId: string }
  | { kind: 'getSampler'; samplerId: string }
  | { kind: 'getAuditLog'; limit: number; offset: number }
  | { kind: 'getBillingUsage' }
  | { kind: 'whoami' }
  | { kind: 'getExternalWeightsUrls'; path: string }
  | { kind: 'externalWeightsUploadStart'; body: Record<string, unknown> }
  | { kind: 'externalWeightsUploadFinish'; body: Record<string, unknown> };

export interface Backend {
  readonly kind: 'local' | 'remote';
  /** What the person knows it by, for messages. */
  readonly label: string;
  readonly names: NameRule;
  /** Shortest time to live that a save may have. */
  readonly minTtlSeconds: number;
  readonly registry: BackendRegistry;

  serverCapabilities(): Promise<GetServerCapabilitiesResponse>;
  /** What it can do, feature by feature. */
  capabilities(): Promise<CapabilityReport>;
  /**
   * Makes a model and waits until it can be used. With `load`, the state is loaded before it resolves; when any step
   * fails, nothing of it remains (model unloaded, lock free).
   */
  createModel(spec: ModelSpec, load: LoadRequest | null): Promise<CreatedModel>;
  createSampler(source: SamplerSource): Promise<BackendSampler>;
  /** Counters of this client; nothing is sent anywhere. */
  telemetry(): Readonly<Record<string, number>>;
  consoleUrl(): string | null;
  /** Waits for what was accepted, then lets everything go. Later calls reject with ClientClosedError. */
  close(): Promise<void>;
}
