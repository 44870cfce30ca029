/**
 * Trains one adapter. Every method takes its turn at the call and returns a future: calls can be made ahead of their
 * results, their effects come in the order of the calls, and a call that fails leaves the next ones alone.
 */
import { attempt, oneOf, rejected } from './attempt.ts';
import type { BackendModel, OptimStepRequest, SavedSampler } from './backend.ts';
import { tokenizerOf, type ClientHost, type RetryConfig } from './client-host.ts';
import type { CustomLoss } from './custom-loss.ts';
import { BadRequestError } from './errors.ts';
import { createFuture, type ApiFuture, type WaitOptions } from './future.ts';
import { sortCheckpoints } from './list-order.ts';
import { mergeLoopState, type LoopStatePart } from './loop-state.ts';
import type { ModelInput } from './model-input.ts';
import { checkName } from './names.ts';
import { checkAdam, checkMetadata, checkTtl } from './parameters.ts';
import { parseCheckpointPath, resolveCheckpointPath, type ParsedCheckpointPath } from './paths.ts';
import { resolveKind } from './resolve-kind.ts';
import type { SampleOptions, SamplingClient } from './sampling-client.ts';
import { prepareTrainingCall } from './training-call.ts';
import { TrainingCore } from './training-core.ts';
import type {
  BatchOptions,
  LoadOptions,
  OptimStepOptions,
  SaveSamplerOptions,
  SaveStateOptions,
} from './training-options.ts';
import { trainStep, type TrainStepOptions } from './train-step.ts';
import type {
  AdamParams,
  ApiTokenizer,
  Datum,
  ForwardBackwardOutput,
  GetInfoResponse,
  LoadWeightsResponse,
  LoopState,
  LossFnType,
  Metadata,
  OptimStepResponse,
  SampleResponse,
  SaveSamplerResult,
  SaveWeightsForSamplerResponse,
  SaveWeightsResponse,
  TrainingResult,
} from './types.ts';
import { verifyResume, type ResumeReport, type VerifyResumeOptions } from './verify-resume.ts';

type LossConfig = Readonly<Record<string, number>> | null;

export interface LoadedFrom {
  loopState?: LoopState | undefined;
  metadata?: Metadata | undefined;
  step?: number | undefined;
}

export class TrainingClient {
  /** What the caller's loop keeps in checkpoints; filled in by loads that restore everything. */
  loopState: LoopState | null;
  /** Metadata of the checkpoint that the client was loaded from. */
  metadata: Metadata | null;
  readonly #host: ClientHost;
  readonly #core: TrainingCore;
  readonly #parts = new Map<string, LoopStatePart>();

  /** Made by a ServiceClient. */
  constructor(host: ClientHost, model: BackendModel, from: LoadedFrom = {}) {
    this.#host = host;
    this.#core = new TrainingCore(model, from.step ?? from.loopState?.step ?? 0);
    this.loopState = from.loopState ?? null;
    this.metadata = from.metadata ?? null;
  }

  /** The run that checkpoints of this client belong to. */
  get runId(): string {
    return this.#core.model.runId;
  }

  get baseModel(): string {
    return this.#core.model.baseModel;
  }

  /** The adapter's settings. */
  get lora(): BackendModel['lora'] {
    return this.#core.model.lora;
  }

  /** Optimizer steps so far, with those of the checkpoint that was loaded. */
  get step(): number {
    return this.#core.steps;
  }

  /** The service this client was made by; for helpers of this folder. */
  get host(): ClientHost {
    return this.#host;
  }

  /** Log-probabilities and the loss of a batch. Computes no gradient and changes nothing. */
  forward(
    data: readonly Datum[],
    lossFn: LossFnType,
    lossFnConfig: LossConfig = null,
    options: BatchOptions = {},
  ): ApiFuture<ForwardBackwardOutput> {
    const make = () => prepareTrainingCall(data, lossFn, lossFnConfig, options.outputs);
    return this.#core.batch('forward', make, options);
  }

  /**
   * Adds the gradient of the summed loss to what has been accumulated since the last optimStep. Rejects with
   * BadRequestError, before any turn is taken, for empty or malformed batches.
   */
  forwardBackward(
    data: readonly Datum[],
    lossFn: LossFnType,
    lossFnConfig: LossConfig = null,
    options: BatchOptions = {},
  ): ApiFuture<ForwardBackwardOutput> {
    const make = () => prepareTrainingCall(data, lossFn, lossFnConfig, options.outputs);
    return this.#core.batch('forwardBackward', make, options);
  }

  /**
   * Adds the gradient of a loss of the caller's own: the log-probabilities are computed, `lossFn` makes a loss and its
   * gradient from them, and that is sent back. Costs a forward pass more. The calls after it wait until it is sent.
   */
  forwardBackwardCustom(
    data: readonly Datum[],
    lossFn: CustomLoss,
    options: WaitOptions & { lossTypeInput?: 'logprobs' } = {},
  ): ApiFuture<ForwardBackwardOutput> {
    const checked = attempt(() => {
      oneOf('lossTypeInput', options.lossTypeInput ?? 'logprobs', ['logprobs']);
      if (typeof lossFn !== 'function')
        throw new BadRequestError({ message: 'The custom loss is no function.' });
    });
    if (!checked.ok) return rejected(checked.error);
    return this.#core.custom(data, lossFn, options);
  }

  /**
   * Applies the accumulated gradient with AdamW and clears it. Where a forwardBackward since the last step has failed, it
   * rejects with PrecedingOperationFailedError, or, on a server that steps all the same, says so in `precedingFailure`.
   */
  optimStep(adamParams: AdamParams = {}, options: OptimStepOptions = {}): ApiFuture<OptimStepResponse> {
    const request = attempt((): OptimStepRequest => ({
      adam: checkAdam(adamParams),
      gradAccumulationNormalization: oneOf(
        'gradAccumulationNormalization',
        options.gradAccumulationNormalization ?? 'none',
        ['none', 'num_loss_tokens', 'num_sequences'],
      ),
      emitGradNormMetrics: oneOf('emitGradNormMetrics', options.emitGradNormMetrics ?? 'off', [
        'off',
        'basic',
        'detailed',
      ]),
    }));
    if (!request.ok) return rejected(request.error);
    return this.#core.optimStep(request.value, options);
  }

  /** forwardBackward and optimStep, submitted together. */
  train(
    data: readonly Datum[],
    lossFn: LossFnType,
    options: TrainStepOptions = {},
  ): ApiFuture<TrainingResult> {
    return trainStep(this, data, lossFn, options);
  }

  /**
   * Saves everything that training goes on from: weights, moments, accumulated gradient, RNG, `loopState`, metadata.
   * Resolves when the checkpoint is committed and listed. Rejects with CheckpointExistsError for a name that is taken,
   * unless `overwrite`, which keeps the old one until the new one is whole.
   */
  saveState(name: string, options: SaveStateOptions = {}): ApiFuture<SaveWeightsResponse> {
    return this.#save(name, options, null);
  }

  /** Saves the state straight to another store, such as `s3://bucket/prefix`. */
  saveWeightsExternal(path: string, options: SaveStateOptions = {}): ApiFuture<SaveWeightsResponse> {
    const name = path.split('/').filter(Boolean).at(-1) ?? '';
    return this.#save(name, options, path);
  }

  /** Loads the weights alone: moments and step count are reset, what was accumulated is cleared. */
  loadState(path: string, options: LoadOptions = {}): ApiFuture<LoadWeightsResponse> {
    return this.#load(path, false, options);
  }

  /**
   * Loads weights, moments, step count, accumulated gradient and RNG, and gives the saved `loopState`. Rejects, with
   * nothing changed, where any of it is missing (OptimizerStateMissingError) or does not fit.
   */
  loadStateWithOptimizer(path: string, options: LoadOptions = {}): ApiFuture<LoadWeightsResponse> {
    return this.#load(path, true, options);
  }

  /** Saves the weights for sampling under a name. */
  saveWeightsForSampler(
    name: string,
    options: SaveSamplerOptions = {},
  ): ApiFuture<SaveWeightsForSamplerResponse> {
    return this.#saveSampler(name, options, (saved): SaveWeightsForSamplerResponse => ({
      path: saved.path,
      type: 'save_weights_for_sampler',
    }));
  }

  /** As saveWeightsForSampler, with the identity of the snapshot, its form and its size. */
  saveWeightsForSamplerExt(name: string, options: SaveSamplerOptions = {}): ApiFuture<SaveSamplerResult> {
    return this.#saveSampler(name, options, (saved) => saved);
  }

  /** A sampler of the weights as they are at this turn. Without a name nothing is kept once it is closed. */
  saveWeightsAndGetSamplingClient(
    options: WaitOptions & { name?: string; retryConfig?: RetryConfig } = {},
  ): ApiFuture<SamplingClient> {
    const { backend, warnings } = this.#host;
    let { name } = options;
    if (name !== undefined && backend.kind === 'remote') {
      warnings.deprecated({
        code: 'LKD003',
        message: `saveWeightsAndGetSamplingClient({ name }) keeps no checkpoint on ${backend.label}; the name is not used.`,
        replacement: 'saveWeightsForSampler(name), then createSamplingClient(path)',
      });
      name = undefined;
    }
    const open = (saved: SavedSampler): Promise<SamplingClient> =>
      this.#host.openSampler(
        saved.kind === 'named'
          ? { modelPath: parseCheckpointPath(saved.result.path) }
          : { samplerId: saved.samplerId, snapshotName: saved.snapshotName },
        options.retryConfig,
      );
    return this.#saveForSampling(name ?? null, options, open);
  }

  /** A sampler of saved weights. */
  createSamplingClient(
    modelPath: string,
    options: { retryConfig?: RetryConfig } = {},
  ): ApiFuture<SamplingClient> {
    return createFuture(async () => {
      this.#core.throwIfClosed();
      const path = parseCheckpointPath(modelPath, { assume: 'sampler', currentRun: this.runId });
      return this.#host.openSampler({ modelPath: path }, options.retryConfig);
    });
  }

  /** Samples from the weights as they are now; the sampler is closed again afterwards. */
  sample(prompt: ModelInput | readonly number[], options: SampleOptions = {}): ApiFuture<SampleResponse> {
    const opened = this.saveWeightsAndGetSamplingClient();
    return createFuture(
      async () => {
        const sampler = await opened;
        try {
          return await sampler.sample(prompt, options);
        } finally {
          await sampler.close();
        }
      },
      { ...options, seqIds: opened.seqIds },
    );
  }

  /** What load calls take for a name, in this run or, with `sourceJobId`, in another. */
  resolveCheckpointPath(name: string, options: { sourceJobId?: string } = {}): string {
    return resolveCheckpointPath(name, options);
  }

  /** The names of this run's training checkpoints, by step, then in the order of saving. */
  listCheckpoints(): ApiFuture<string[]> {
    return createFuture(async () => {
      const { backend, cold } = this.#host;
      const all = await cold.merged(this.runId, await backend.registry.listCheckpoints(this.runId));
      return sortCheckpoints(all.filter((c) => c.checkpointType === 'training')).map(
        ({ checkpointId }) => checkpointId.split('/')[1] ?? '',
      );
    });
  }

  /** Proves, on clients of its own, that a resumed run is the run. This client is saved from and not trained. */
  verifyResume(options: VerifyResumeOptions): ApiFuture<ResumeReport> {
    return createFuture(() => verifyResume(this, options), options);
  }

  getInfo(): ApiFuture<GetInfoResponse> {
    return createFuture(() => {
      this.#core.throwIfClosed();
      return this.#core.model.info();
    });
  }

  getTokenizer(): ApiFuture<ApiTokenizer> {
    return createFuture(() => tokenizerOf(this.#host, this.baseModel, this.#core.model.tokenizer()));
  }

  /** Calls back when a server moved the model to a new run because it loads into fresh models only. */
  onRunReplaced(callback: (runId: string, formerRunId: string) => void): () => void {
    return this.#core.model.onRunReplaced(callback);
  }

  /** Adds something to the `loopState` of each save, such as the iteration of a trainer. Returns what takes it out. */
  contributeLoopState(part: string, read: LoopStatePart): () => void {
    this.#parts.set(part, read);
    return () => {
      if (this.#parts.get(part) === read) this.#parts.delete(part);
    };
  }

  /** Lets the model go: what was submitted is finished, what waits rejects with ClientClosedError. */
  dispose(): Promise<void> {
    return this.#core.dispose();
  }

  #save(name: string, options: SaveStateOptions, external: string | null): ApiFuture<SaveWeightsResponse> {
    const { backend } = this.#host;
    const request = attempt(() => {
      checkName(name, backend.names, backend.label);
      const base = options.loopState ?? this.loopState;
      return {
        name,
        ttlSeconds: checkTtl(options.ttlSeconds, backend.minTtlSeconds),
        overwrite: options.overwrite ?? false,
        metadata: options.metadata === undefined ? null : checkMetadata(options.metadata, 'The metadata'),
        loopState: checkMetadata(mergeLoopState(base, this.#parts, this.step), 'The loopState'),
        external,
      };
    });
    if (!request.ok) return rejected(request.error);
    return this.#core.turns(1, (turns) => this.#core.model.saveState(request.value, turns.use(0)), options);
  }

  #load(path: string, optimizer: boolean, options: LoadOptions): ApiFuture<LoadWeightsResponse> {
    const parsed = attempt(() => parseCheckpointPath(path, { assume: 'training', currentRun: this.runId }));
    if (!parsed.ok) return rejected(parsed.error);
    const request = { path: parsed.value, optimizer, weightsAccessToken: options.weightsAccessToken ?? null };
    const onLoaded = ({ loopState, metadata, step }: LoadWeightsResponse): void => {
      if (!optimizer) return;
      this.#core.steps = step ?? loopState?.step ?? this.#core.steps;
      if (loopState !== undefined) this.loopState = loopState;
      if (metadata !== undefined) this.metadata = metadata;
    };
    const { backend, cold } = this.#host;
    const resolve = async (given: ParsedCheckpointPath): Promise<ParsedCheckpointPath> => {
      const found = await resolveKind(backend.registry, given);
      await cold.warm(found);
      return found;
    };
    return this.#core.load(request, resolve, onLoaded, options);
  }

  #saveSampler<T>(
    name: string,
    options: SaveSamplerOptions,
    give: (saved: SaveSamplerResult) => T,
  ): ApiFuture<T> {
    return this.#saveForSampling(name, options, (saved) => {
      if (saved.kind === 'named') return give(saved.result);
      throw new BadRequestError({
        message: `${this.#host.backend.label} kept no checkpoint under the name ${name}.`,
      });
    });
  }

  #saveForSampling<T>(
    name: string | null,
    options: SaveSamplerOptions,
    give: (saved: SavedSampler) => T | Promise<T>,
  ): ApiFuture<T> {
    const { backend } = this.#host;
    const request = attempt(() => {
      if (name !== null) checkName(name, backend.names, backend.label);
      const checkpointType = oneOf('checkpointType', options.checkpointType ?? 'base', [
        'base',
        'delta',
        'merged_base',
      ]);
      return { name, ttlSeconds: checkTtl(options.ttlSeconds, backend.minTtlSeconds), checkpointType };
    });
    if (!request.ok) return rejected(request.error);
    return this.#core.turns(
      1,
      async (turns) => {
        const accepted = await this.#core.model.saveWeightsForSampler(request.value, turns.use(0));
        return { requestId: accepted.requestId, result: accepted.result.then(give) };
      },
      options,
    );
  }
}
