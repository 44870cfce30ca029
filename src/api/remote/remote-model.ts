/** A model in training on a server: the seam's methods as requests of the Tinker protocol. */
import type {
  Accepted,
  BackendModel,
  ChunkLimits,
  CustomLossParts,
  LoadRequest,
  OptimStepRequest,
  SavedSampler,
  SaveSamplerRequest,
  SaveStateRequest,
  Turn,
} from '../backend.ts';
import { callBytes } from '../chunking.ts';
import { crossEntropySurrogate } from '../custom-loss.ts';
import { BadRequestError } from '../errors.ts';
import type { FullLoraConfig } from '../parameters.ts';
import type { TrainingCall } from '../training-call.ts';
import type {
  ApiTokenizer,
  ForwardBackwardOutput,
  GetInfoResponse,
  LoadWeightsResponse,
  OptimStepResponse,
  SaveWeightsResponse,
} from '../types.ts';
import { decodePass } from './decode-pass.ts';
import { encodeForwardBackwardRequest } from './proto-training.ts';
import { submit, type RemoteContext } from './remote-context.ts';
import { readInfo } from './remote-info.ts';
import { checkLoad, loadRemote } from './remote-load.ts';
import { noticeMeanLoss, noticeOptimizer } from './remote-notices.ts';
import { saveRemoteSampler, saveRemoteState } from './remote-model-save.ts';
import { markOf, prepareSkyrl, skyrlSurrogate } from './skyrl-calls.ts';
import { decodeMetrics, encodeAdam, encodeTrainingInput } from './wire-training.ts';

export interface RemoteModelOptions {
  runId: string;
  baseModel: string;
  lora: FullLoraConfig;
  firstSeqId: number;
  /** Makes a fresh model with the same settings; for servers that load into fresh ones only. */
  remake: () => Promise<string>;
}

export class RemoteModel implements BackendModel {
  runId: string;
  readonly baseModel: string;
  readonly lora: FullLoraConfig;
  readonly firstSeqId: number;
  readonly limits: ChunkLimits;
  readonly #context: RemoteContext;
  readonly #remake: () => Promise<string>;
  readonly #listeners = new Set<(runId: string, formerRunId: string) => void>();
  readonly #results = new Set<Promise<unknown>>();
  /** Turns of the client that were not sent to the present model. */
  #offset = 0;
  #lastSeq = 0;
  /** Something was sent to the present model. */
  #used: boolean;
  /** What of the gradient lies on the server: which call, and whether its scale fits that call alone. */
  #gradient: { id: symbol; scaled: boolean } | null = null;
  #unloading: Promise<void> | null = null;

  constructor(context: RemoteContext, o: RemoteModelOptions) {
    this.#context = context;
    this.runId = o.runId;
    this.baseModel = o.baseModel;
    this.lora = o.lora;
    this.firstSeqId = o.firstSeqId;
    this.limits = context.traits.limits;
    this.#remake = o.remake;
    this.#used = o.firstSeqId > 1;
    context.models.set(o.runId, () => this.unload());
    context.guard.track(o.runId);
  }

  prepare(call: TrainingCall, backward: boolean): TrainingCall {
    const { traits, emulateSumLoss } = this.#context;
    if (!traits.skyrlJax) return call;
    if (backward && !emulateSumLoss) noticeMeanLoss(this.#context);
    return prepareSkyrl(call, backward, emulateSumLoss);
  }

  customLossCall(parts: CustomLossParts): TrainingCall {
    return this.#context.traits.skyrlJax ? skyrlSurrogate(parts) : crossEntropySurrogate(parts);
  }

  forward(call: TrainingCall, turn: Turn): Promise<Accepted<ForwardBackwardOutput>> {
    return this.#inTurn(turn, (seq) => this.#pass('forward', call, turn, seq));
  }

  forwardBackward(call: TrainingCall, turn: Turn): Promise<Accepted<ForwardBackwardOutput>> {
    return this.#inTurn(turn, (seq) => {
      this.#noteGradient(call, turn);
      return this.#pass('forward_backward', call, turn, seq);
    });
  }

  /** Throws BadRequestError where a scaled gradient would be averaged with another. */
  #noteGradient(call: TrainingCall, turn: Turn): void {
    const mark = markOf(call) ?? { id: Symbol('call'), scaled: false };
    const before = this.#gradient;
    if (before !== null && before.id !== mark.id && (before.scaled || mark.scaled)) {
      throw new BadRequestError({
        message: `${this.#context.traits.label} takes the mean over all sequences since the last step, so a summed or custom loss can be emulated for one forwardBackward per optimStep only.`,
        seqId: turn.seqId,
        fix: 'Call optimStep between them, or put both batches into one call.',
      });
    }
    this.#gradient = mark;
  }

  async #pass(
    kind: 'forward' | 'forward_backward',
    call: TrainingCall,
    turn: Turn,
    seq: () => number,
  ): Promise<Accepted<ForwardBackwardOutput>> {
    const { traits } = this.#context;
    const seqId = seq();
    const forwardOnly = kind === 'forward';
    const modelId = this.runId;
    const input = forwardOnly ? 'forward_input' : 'forward_backward_input';
    const request = traits.protobuf
      ? {
          path: 'forward_backward',
          protobuf: encodeForwardBackwardRequest({ modelId, seqId, call, forwardOnly }),
        }
      : {
          path: kind,
          json: { model_id: modelId, seq_id: seqId, [input]: encodeTrainingInput(call, traits.sparse) },
        };
    const accepted = await submit(
      this.#context,
      { method: 'POST', ...request },
      {
        turn,
        // A forward pass changes nothing, so it may run twice.
        repeatable: forwardOnly || traits.idempotentSeq,
        // The first part of a call never waits: a server may hold back those that come before it.
        room:
          turn.first === true ? null : { limiter: this.#context.dispatch.training, bytes: callBytes(call) },
        ...(traits.protobuf ? { accept: 'application/x-protobuf, application/json' } : {}),
        decode: (reply) => decodePass(this.#context, kind, reply, call),
      },
    );
    return this.#keep(accepted);
  }

  optimStep(request: OptimStepRequest, turn: Turn): Promise<Accepted<OptimStepResponse>> {
    return this.#inTurn(turn, async (seq) => {
      const { traits, guard } = this.#context;
      noticeOptimizer(this.#context, request, turn.seqId);
      if (this.#gradient === null) {
        const message = 'optimStep was called without a forwardBackward before it: the gradient is zero.';
        this.#context.warnings.once({ code: 'NO_GRADIENT', message }, this.runId);
      }
      await guard.beforeChange(this.runId);
      this.#gradient = null;
      const accepted = await submit(
        this.#context,
        {
          method: 'POST',
          path: 'optim_step',
          json: {
            model_id: this.runId,
            seq_id: seq(),
            adam_params: encodeAdam(request.adam),
            type: 'optim_step',
          },
        },
        {
          turn,
          repeatable: traits.idempotentSeq,
          decode: ({ body }): OptimStepResponse => {
            const metrics = decodeMetrics(body, 'optim_step');
            return metrics === undefined ? {} : { metrics };
          },
        },
      );
      return this.#keep(accepted);
    });
  }

  saveState(request: SaveStateRequest, turn: Turn): Promise<Accepted<SaveWeightsResponse>> {
    return this.#inTurn(turn, async (seq) =>
      this.#keep(
        await saveRemoteState(this.#context, { modelId: this.runId, lora: this.lora }, request, turn, seq),
      ),
    );
  }

  saveWeightsForSampler(request: SaveSamplerRequest, turn: Turn): Promise<Accepted<SavedSampler>> {
    return this.#inTurn(turn, async (seq) =>
      this.#keep(
        await saveRemoteSampler(this.#context, { modelId: this.runId, lora: this.lora }, request, turn, seq),
      ),
    );
  }

  load(request: LoadRequest, turn: Turn): Promise<Accepted<LoadWeightsResponse>> {
    return this.#inTurn(turn, async (seq) => {
      checkLoad(this.#context, request);
      await this.#context.guard.beforeChange(this.runId);
      if (this.#used) return this.#loadIntoFresh(request, turn);
      this.#gradient = null;
      return this.#keep(await loadRemote(this.#context, this.runId, request, seq(), turn));
    });
  }

  /** The server loads as a model's first request only: a fresh model takes over when the load has worked. */
  async #loadIntoFresh(request: LoadRequest, turn: Turn): Promise<Accepted<LoadWeightsResponse>> {
    const { guard, warnings, models, traits } = this.#context;
    let fresh: string | null = null;
    try {
      fresh = await this.#remake();
      models.set(fresh, () => this.unload());
      const { requestId, result } = await loadRemote(this.#context, fresh, request, 1, turn);
      const loaded = await result;
      const former = this.runId;
      await this.#settle();
      await this.#unloadOne(former);
      this.runId = fresh;
      guard.track(fresh);
      this.#used = true;
      // The load was number 1 of the new model, so what follows is number 2.
      this.#offset = turn.seqId - 1;
      warnings.once(
        {
          code: 'RUN_REPLACED',
          message: `${traits.label} loads into fresh models only: ${former} was replaced by ${fresh}, and checkpoints belong to that run from now on.`,
        },
        fresh,
      );
      for (const listener of this.#listeners) listener(fresh, former);
      return { requestId, result: Promise.resolve({ ...loaded, modelId: fresh }) };
    } catch (error) {
      // The former model goes on as if this turn had not been.
      if (fresh !== null && fresh !== this.runId) await this.#unloadOne(fresh);
      throw error;
    }
  }

  skip(seqIds: readonly number[]): void {
    this.#offset += seqIds.length;
  }

  info(): Promise<GetInfoResponse> {
    return readInfo(this.#context, this.runId, this);
  }

  tokenizer(): Promise<ApiTokenizer | null> {
    return Promise.resolve(null);
  }

  onRunReplaced(callback: (runId: string, formerRunId: string) => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  unload(): Promise<void> {
    this.#unloading ??= (async () => {
      await this.#settle();
      await this.#unloadOne(this.runId);
    })();
    return this.#unloading;
  }

  /** Frees the slot. A server that is gone frees it by itself, when the heartbeat stays away. */
  async #unloadOne(modelId: string): Promise<void> {
    const { traits, guard, models } = this.#context;
    const quiet = async (path: string, json: Record<string, unknown>): Promise<void> => {
      try {
        const o = { turn: null, repeatable: false, decode: () => undefined };
        await (
          await submit(this.#context, { method: 'POST', path, json: { model_id: modelId, ...json } }, o)
        ).result;
      } catch {
        // Nothing of ours depends on it.
      }
    };
    await guard.beforeChange(modelId);
    if (traits.skyrlJax && modelId === this.runId && this.#gradient !== null) {
      // What lies accumulated would be applied to the next model in this slot; a step of nothing clears it.
      const adam = { learningRate: 0, beta1: 0.9, beta2: 0.95, eps: 1e-12, weightDecay: 0, gradClipNorm: 0 };
      await quiet('optim_step', {
        seq_id: this.#lastSeq + 1,
        adam_params: encodeAdam(adam),
        type: 'optim_step',
      });
    }
    await quiet('unload_model', { type: 'unload_model' });
    this.#gradient = null;
    guard.forget(modelId);
    models.delete(modelId);
  }

  /** A turn that ends before anything is sent leaves no gap in the numbers that the server sees. */
  async #inTurn<T>(turn: Turn, work: (seq: () => number) => T | Promise<T>): Promise<T> {
    let sent = false;
    try {
      return await work(() => {
        sent = true;
        this.#used = true;
        this.#lastSeq = turn.seqId - this.#offset;
        return this.#lastSeq;
      });
    } catch (error) {
      if (!sent) this.#offset += 1;
      throw error;
    }
  }

  #keep<T>(accepted: Accepted<T>): Accepted<T> {
    this.#results.add(accepted.result);
    const done = (): void => {
      this.#results.delete(accepted.result);
    };
    accepted.result.then(done, done);
    return accepted;
  }

  async #settle(): Promise<void> {
    await Promise.allSettled(this.#results);
  }
}
