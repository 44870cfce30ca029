/**
 * One adapter in training on this machine, as the interface's model: operations are issued to the GPU in the order of their
 * turns and not one by one, so the GPU does not wait for results to be read; effects come in that order.
 */
import type {
  Accepted,
  BackendModel,
  LoadRequest,
  OptimStepRequest,
  SavedSampler,
  SaveSamplerRequest,
  SaveStateRequest,
} from '../api/backend.ts';
import { DEFAULT_LIMITS } from '../api/chunking.ts';
import { crossEntropySurrogate } from '../api/custom-loss.ts';
import { ClientClosedError, PrecedingOperationFailedError } from '../api/own-errors.ts';
import { DEFAULT_ADAM, type FullLoraConfig } from '../api/parameters.ts';
import type { TrainingCall } from '../api/training-call.ts';
import type {
  AdamParams,
  ForwardBackwardOutput,
  LoadWeightsResponse,
  OptimStepResponse,
  SaveWeightsResponse,
} from '../api/types.ts';
import {
  checkLossData,
  forwardBackwardData,
  forwardData,
  groupLossData,
  type TrainingSession,
  type AdapterStart,
} from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { LoraSettings } from '../formats/adapter.ts';
import { snapshotSession } from '../run/capture.ts';
import type { OpenBase } from './bases.ts';
import { FRESH, type ModelPosition, type ReadState, type StateToSave } from './capture.ts';
import { longestOf, lossOf, outputOf, toLossDatum } from './loss-call.ts';
import { apiTokenizer } from './tokenizer.ts';
import { mappedOn } from './device-loss.ts';
import type { LocalShared } from './host.ts';
import { mapError } from './map-error.ts';
import type { ModelKeeper } from './model-keeper.ts';
import { buildSession, loadedOf, trainedOnly } from './model-session.ts';

/** Tokens that one micro-batch has, unless one sequence alone is longer: what the split into micro-batches depends on. */
export const MICRO_BATCH_TOKENS = 512;

export interface LocalModelOptions {
  shared: LocalShared;
  base: OpenBase;
  /** As the caller named it. */
  baseModel: string;
  lora: FullLoraConfig;
  settings: LoraSettings;
  seed: number;
  runId: string;
  keeper: ModelKeeper;
  /** Tokens that one micro-batch has, unless one sequence alone is longer; default MICRO_BATCH_TOKENS. */
  microBatchTokens?: number;
  onUnload: (model: LocalModel) => void;
}

type Counts = Pick<ModelPosition, 'lossTokens' | 'sequences'>;

/** What an issued operation gives: its result comes later, and the next operation does not wait for it. */
interface Issued<T> {
  result: Promise<T>;
}

export class LocalModel implements BackendModel {
  readonly runId: string;
  readonly baseModel: string;
  readonly lora: FullLoraConfig;
  readonly firstSeqId = 1;
  readonly limits = { ...DEFAULT_LIMITS, parallel: false };
  readonly #options: LocalModelOptions;
  #session: TrainingSession;
  /** Whether the session is this model's to dispose of and to replace by a larger one. */
  #owned = true;
  #seed: number;
  #position: Omit<ModelPosition, keyof Counts> = { ...FRESH };
  /** Of the gradient that is accumulating; a step begins another. */
  #counts: Counts = { lossTokens: 0, sequences: 0 };
  #adam: Required<AdamParams> = { ...DEFAULT_ADAM };
  /** Why the accumulated gradient is incomplete. */
  #failed: unknown = null;
  /** Ends when the last operation so far was issued; never rejects. */
  #issued: Promise<unknown> = Promise.resolve();
  /** Results under way, and those of them that the GPU has still to give. */
  readonly #pending = new Set<Promise<unknown>>();
  readonly #computing = new Set<Promise<unknown>>();
  #closed: Promise<void> | null = null;

  private constructor(options: LocalModelOptions, session: TrainingSession) {
    this.#options = options;
    this.#session = session;
    this.#seed = options.seed;
    this.runId = options.runId;
    this.baseModel = options.baseModel;
    this.lora = options.lora;
  }

  /** Builds the session. Throws ADAPTER_MISMATCH, GPU_LIMIT or MEMORY_EXCEEDED; then nothing stays allocated. */
  static async create(options: LocalModelOptions, from: ReadState | null): Promise<LocalModel> {
    const start: AdapterStart = from?.start ?? { seed: options.seed };
    const session = await buildSession(options, start, MICRO_BATCH_TOKENS);
    const model = new LocalModel(options, session);
    if (from !== null) model.#adopt(from);
    return model;
  }

  /** A model over a session that is there already, and stays its owner's; `position` is where that session stands. */
  static over(options: LocalModelOptions, session: TrainingSession, position: ModelPosition): LocalModel {
    const model = new LocalModel(options, session);
    model.#owned = false;
    model.#position = { ...position };
    return model;
  }

  get keeper(): ModelKeeper {
    return this.#options.keeper;
  }

  prepare(call: TrainingCall): TrainingCall {
    const { maxPositions, vocabSize } = this.#options.base.model.config;
    // The engine's own checks, at once: what it would refuse takes no turn.
    try {
      checkLossData(call.data.map(toLossDatum), lossOf(call), { vocabSize, maxTokens: maxPositions });
    } catch (error) {
      throw mapError(error);
    }
    return call;
  }

  customLossCall = crossEntropySurrogate;

  forward(call: TrainingCall): Promise<Accepted<ForwardBackwardOutput>> {
    return this.#enqueue(async () => {
      const data = call.data.map(toLossDatum);
      const maxTokens = await this.#roomFor(longestOf(data));
      const options = { maxTokens, trainedOnly: trainedOnly(call) };
      const pass = this.#track(forwardData(this.#session, data, lossOf(call), 1, options));
      return { result: pass.then((result) => outputOf(call, result)) };
    });
  }

  forwardBackward(call: TrainingCall): Promise<Accepted<ForwardBackwardOutput>> {
    return this.#enqueue(async () => {
      try {
        const data = call.data.map(toLossDatum);
        const maxTokens = await this.#roomFor(longestOf(data));
        const position = this.#position;
        const keys = { seed: this.#seed, step: position.optimizerStep + 1, micro: position.micro };
        const groups = groupLossData(data, Math.min(maxTokens, this.#session.maxTokens)).length;
        const options = { maxTokens, trainedOnly: trainedOnly(call) };
        const counts = this.#counts;
        const pass = forwardBackwardData(this.#session, data, lossOf(call), keys, options);
        this.#position = { ...position, micro: position.micro + groups, calls: position.calls + 1 };
        const counted = pass.then((done) => {
          counts.lossTokens += done.lossTokens;
          counts.sequences += done.sequences;
          return outputOf(call, done);
        });
        const result = this.#track(counted).then(
          (output) => output,
          (error: unknown) => {
            this.#failed ??= error;
            throw error;
          },
        );
        return { result };
      } catch (error) {
        this.#failed ??= error;
        throw error;
      }
    });
  }

  /** Remembers work of the GPU until it is done. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#computing.add(work);
    const over = (): void => {
      this.#computing.delete(work);
    };
    work.then(over, over);
    return work;
  }

  /** Until all that was issued so far has been computed: what reads the buffers must not overtake it. */
  async #computed(): Promise<void> {
    await Promise.allSettled(this.#computing);
  }

  optimStep(request: OptimStepRequest): Promise<Accepted<OptimStepResponse>> {
    return this.#enqueue(async () => {
      const { gradAccumulationNormalization: normalization, emitGradNormMetrics: emit, adam } = request;
      if (normalization !== 'none') await this.#computed();
      if (this.#failed !== null) await this.#refuseStep();
      const divisor = this.#divisor(normalization);
      if (this.#position.calls === 0) this.#warnEmptyStep();
      const norms = emit === 'detailed' ? this.#session.gradientNorms(divisor) : null;
      const step = this.#position.optimizerStep + 1;
      this.#restart(step);
      this.#adam = adam;
      const { gradClipNorm, ...rest } = adam;
      const norm = this.#session.optimStep(step, { ...rest, gradClip: gradClipNorm }, divisor);
      return { result: this.#stepResult(this.#track(norm), norms, emit) };
    });
  }

  async #refuseStep(): Promise<never> {
    const cause = this.#failed;
    this.#failed = null;
    this.#restart(this.#position.optimizerStep);
    await this.#session.clearGradients();
    throw new PrecedingOperationFailedError({
      message: `The gradient is incomplete, so the step was not made: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }

  /** Nothing is accumulated from here on. */
  #restart(optimizerStep: number): void {
    this.#position = { ...FRESH, optimizerStep };
    this.#counts = { lossTokens: 0, sequences: 0 };
  }

  #divisor(normalization: OptimStepRequest['gradAccumulationNormalization']): number {
    if (normalization === 'none') return 1;
    const { lossTokens, sequences } = this.#counts;
    return Math.max(1, normalization === 'num_loss_tokens' ? lossTokens : sequences);
  }

  #warnEmptyStep(): void {
    this.#options.shared.warnings.once({
      code: 'NO_GRADIENT',
      message: `An optimStep of ${this.runId} came without a forwardBackward before it: it applied a gradient of zero.`,
    });
  }

  async #stepResult(
    norm: Promise<number>,
    norms: ReturnType<TrainingSession['gradientNorms']> | null,
    emit: OptimStepRequest['emitGradNormMetrics'],
  ): Promise<OptimStepResponse> {
    const gradNorm = await norm;
    const detailed = await norms;
    if (!Number.isFinite(gradNorm)) {
      throw new StudioError({
        code: 'LOSS_NOT_FINITE',
        message: `The gradient's norm is ${String(gradNorm)}; the step was not applied, and the gradient was dropped.`,
        fix: 'Train on from the last checkpoint with a smaller learning rate, or with gradClipNorm.',
      });
    }
    if (emit === 'off') return { metrics: {} };
    const modules = Object.entries(detailed?.modules ?? {}).map(([path, value]) => [
      `gradNorm/${path}`,
      value,
    ]);
    return { metrics: { gradNorm, ...(Object.fromEntries(modules) as Record<string, number>) } };
  }

  saveState(request: SaveStateRequest): Promise<Accepted<SaveWeightsResponse>> {
    return this.#enqueue(async () => {
      this.#options.keeper.refuseExternal(request.external);
      await this.#computed();
      if (this.#failed !== null)
        throw new PrecedingOperationFailedError({ message: 'The gradient is incomplete.' });
      const what = this.#toSave(request);
      const held = snapshotSession(this.#session, what.position.calls > 0);
      return { result: this.#options.keeper.saveState(request, what, held) };
    });
  }

  saveWeightsForSampler(request: SaveSamplerRequest): Promise<Accepted<SavedSampler>> {
    return this.#enqueue(async () => {
      await this.#computed();
      const what = this.#toSave({ loopState: null, metadata: null });
      const held = this.#session.state.tensors('params');
      return { result: this.#options.keeper.saveSampler(request, what, held) };
    });
  }

  load(request: LoadRequest): Promise<Accepted<LoadWeightsResponse>> {
    return this.#enqueue(async () => {
      const { state, path } = await this.#options.keeper.read(request, this.#options);
      await this.#computed();
      await this.#session.load(state.start);
      this.#adopt(state);
      return { result: Promise.resolve(loadedOf(path, state, request.optimizer)) };
    });
  }

  /** Takes over what a checkpoint says besides the buffers. */
  #adopt({ position, seed, adam }: ReadState): void {
    const { lossTokens, sequences, ...place } = position;
    this.#position = place;
    this.#counts = { lossTokens, sequences };
    this.#seed = seed ?? this.#seed;
    this.#adam = adam ?? this.#adam;
    this.#failed = null;
  }

  skip(): void {
    // Turns are not numbered here.
  }

  info(): ReturnType<BackendModel['info']> {
    const { model } = this.#options.base;
    return Promise.resolve({
      modelData: { arch: model.config.family, modelName: this.baseModel, tokenizerId: this.baseModel },
      modelId: this.runId,
      isLora: true,
      loraRank: this.lora.rank,
      modelName: this.baseModel,
    });
  }

  tokenizer(): ReturnType<BackendModel['tokenizer']> {
    return Promise.resolve(apiTokenizer(this.#options.base.model.tokenizer));
  }

  onRunReplaced(): () => void {
    return () => undefined;
  }

  unload(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#issued;
      await Promise.allSettled(this.#pending);
      if (this.#owned) this.#session.dispose();
      await this.#options.keeper.release();
      this.#options.base.release();
      this.#options.onUnload(this);
    })();
    return this.#closed;
  }

  #toSave({ loopState, metadata }: Pick<SaveStateRequest, 'loopState' | 'metadata'>): StateToSave {
    const { base, settings, shared } = this.#options;
    return {
      model: base.model,
      settings,
      seed: this.#seed,
      position: { ...this.#position, ...this.#counts },
      adam: this.#adam,
      loopState,
      metadata,
      device: base.gpu.info.name,
      appVersion: shared.host.appVersion,
    };
  }

  /** Makes the session large enough for one sequence, and says how many tokens a micro-batch has with it. */
  async #roomFor(longest: number): Promise<number> {
    const wanted = Math.max(this.#options.microBatchTokens ?? MICRO_BATCH_TOKENS, longest);
    // What does not fit a session of another's is refused there by name.
    if (wanted <= this.#session.maxTokens || !this.#owned) return wanted;
    await this.#computed();
    const { tensors, moments, gradients } = await snapshotSession(this.#session, this.#position.calls > 0);
    const start = { tensors, moments, ...(gradients === null ? {} : { grads: gradients }) };
    const larger = await buildSession(this.#options, start, wanted);
    this.#session.dispose();
    this.#session = larger;
    return wanted;
  }

  #enqueue<T>(issue: () => Issued<T> | Promise<Issued<T>>): Promise<Accepted<T>> {
    if (this.#closed !== null) {
      return Promise.reject(new ClientClosedError({ message: `The model of ${this.runId} is unloaded.` }));
    }
    const issued = this.#issued.then(issue);
    this.#issued = issued.catch(() => undefined);
    const result = mappedOn(this.#options.base.gpu.device, async () => (await issued).result);
    this.#pending.add(result);
    const over = (): void => {
      this.#pending.delete(result);
    };
    result.then(over, over);
    return Promise.resolve({ requestId: this.#options.shared.nextRequestId(), result });
  }
}
