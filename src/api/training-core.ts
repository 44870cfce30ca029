/**
 * The turns of a training client: reserves them at the call, sends in their order, counts steps and pending results.
 * TrainingClient checks arguments and says what the methods mean; this knows how calls travel.
 */
import { attempt, rejected } from './attempt.ts';
import type { BackendModel, LoadRequest, OptimStepRequest } from './backend.ts';
import { combineOutputs, splitBatch } from './chunking.ts';
import { evaluateCustomLoss, logprobsOf, prepareCustomCall, type CustomLoss } from './custom-loss.ts';
import { createFuture, type ApiFuture, type WaitOptions } from './future.ts';
import { ClientClosedError, QueueFullError } from './own-errors.ts';
import { sendBatch } from './send-batch.ts';
import type { TrainingCall } from './training-call.ts';
import { createTurnQueue, type ReservedTurns, type TurnQueue } from './turn-queue.ts';
import type {
  Datum,
  ForwardBackwardOutput,
  LoadWeightsResponse,
  OptimStepResponse,
  QueueState,
} from './types.ts';

/** Calls of one client whose results are still to come. */
export const MAX_PENDING = 16_384;

interface Sent<T> {
  requestId: string | null;
  result: Promise<T>;
}

/** The batch, checked and split, or why it is refused. */
function split(model: BackendModel, make: () => TrainingCall) {
  return attempt(() => {
    const call = make();
    const ranges = splitBatch(call.data, model.limits);
    return { call, ranges, counts: ranges.map(([from, to]) => to - from) };
  });
}

export class TrainingCore {
  readonly model: BackendModel;
  /** Optimizer steps, with those of the checkpoint that was loaded. */
  steps: number;
  readonly #queue: TurnQueue;
  #pending = 0;
  #closed: Promise<void> | null = null;
  /** forwardBackward calls since the last optimStep. */
  #sinceStep: Promise<unknown>[] = [];

  constructor(model: BackendModel, steps: number) {
    this.model = model;
    this.steps = steps;
    this.#queue = createTurnQueue({
      first: model.firstSeqId,
      maxWaiting: MAX_PENDING,
      skip: (seqIds) => {
        model.skip(seqIds);
      },
    });
  }

  /** Throws ClientClosedError once the client is disposed of. */
  throwIfClosed(): void {
    if (this.#closed !== null) throw this.#closedError();
  }

  #closedError(): ClientClosedError {
    return new ClientClosedError({ message: `The training client of ${this.model.runId} is closed.` });
  }

  dispose(): Promise<void> {
    this.#closed ??= (async () => {
      this.#queue.close(() => this.#closedError());
      await this.#queue.idle();
      await this.model.unload();
    })();
    return this.#closed;
  }

  /** Reserves turns, sends in them, and gives the future of the result. */
  turns<T>(
    count: number,
    send: (turns: ReservedTurns) => Promise<Sent<T>>,
    options: WaitOptions,
  ): ApiFuture<T> {
    let tell: (state: QueueState, reason?: string) => void = () => undefined;
    const reserved = attempt(() => {
      this.throwIfClosed();
      if (this.#pending >= MAX_PENDING) {
        throw new QueueFullError({
          message: `${String(this.#pending)} results of this client are still to come, the most that it keeps.`,
        });
      }
      return this.#queue.enqueue(count, send, (...state) => {
        tell(...state);
      });
    });
    if (!reserved.ok) return rejected(reserved.error);
    const { seqIds, sent } = reserved.value;
    this.#pending += 1;
    return createFuture(
      async (control) => {
        tell = (...state) => {
          control.queueState(...state);
        };
        try {
          const { requestId, result } = await sent;
          control.accepted(requestId);
          return await result;
        } finally {
          this.#pending -= 1;
        }
      },
      { ...options, seqIds },
    );
  }

  batch(
    kind: 'forward' | 'forwardBackward',
    make: () => TrainingCall,
    options: WaitOptions,
  ): ApiFuture<ForwardBackwardOutput> {
    const { model } = this;
    const prepared = split(model, () => model.prepare(make(), kind === 'forwardBackward'));
    if (!prepared.ok) return rejected(prepared.error);
    const { call, ranges, counts } = prepared.value;
    const send = async (turns: ReservedTurns): Promise<Sent<ForwardBackwardOutput>> => {
      const parts = await sendBatch(model, kind, call, ranges, turns);
      const outputs = Promise.all(parts.map((part) => part.result));
      const result = outputs.then((list) => combineOutputs(list, counts));
      result.catch(() => undefined);
      return { requestId: parts[0]?.requestId ?? null, result };
    };
    return this.#remember(kind === 'forwardBackward', this.turns(ranges.length, send, options));
  }

  /** Both passes of a custom loss. The turns of both are reserved at the call; one that is not needed is given back. */
  custom(data: readonly Datum[], lossFn: CustomLoss, options: WaitOptions): ApiFuture<ForwardBackwardOutput> {
    const { model } = this;
    const prepared = split(model, () => model.prepare(prepareCustomCall(data), false));
    if (!prepared.ok) return rejected(prepared.error);
    const { call, ranges, counts } = prepared.value;
    const send = async (turns: ReservedTurns): Promise<Sent<ForwardBackwardOutput>> => {
      const first = await sendBatch(model, 'forward', call, ranges, turns);
      const output = combineOutputs(await Promise.all(first.map(({ result }) => result)), counts);
      const logprobs = logprobsOf(output, call);
      const evaluated = evaluateCustomLoss(lossFn, data, logprobs);
      const surrogate = model.customLossCall({ call, logprobs, gradLogprobs: evaluated.gradLogprobs });
      const second = await sendBatch(model, 'forwardBackward', surrogate, ranges, turns, ranges.length);
      const outputs = Promise.all(second.map(({ result }) => result));
      const result = outputs.then((parts): ForwardBackwardOutput => {
        const combined = combineOutputs(parts, counts);
        // The loss is the caller's; that of the surrogate means nothing.
        return {
          ...combined,
          metrics: { ...combined.metrics, 'loss:sum': evaluated.loss, ...evaluated.metrics },
        };
      });
      result.catch(() => undefined);
      return { requestId: second[0]?.requestId ?? null, result };
    };
    return this.#remember(true, this.turns(2 * ranges.length, send, options));
  }

  optimStep(request: OptimStepRequest, options: WaitOptions): ApiFuture<OptimStepResponse> {
    const before = this.#sinceStep;
    const send = async (turns: ReservedTurns): Promise<Sent<OptimStepResponse>> => {
      const accepted = await this.model.optimStep(request, turns.use(0));
      const result = accepted.result.then(async (response) => {
        this.steps += 1;
        const outcomes = await Promise.allSettled(before);
        const failed = outcomes.find((outcome) => outcome.status === 'rejected');
        return failed === undefined
          ? response
          : { ...response, precedingFailure: String((failed.reason as Error).message) };
      });
      result.catch(() => undefined);
      return { requestId: accepted.requestId, result };
    };
    const future = this.turns(1, send, options);
    if (future.seqIds.length > 0) this.#sinceStep = [];
    return future;
  }

  load(
    request: LoadRequest,
    resolve: (path: LoadRequest['path']) => Promise<LoadRequest['path']>,
    onLoaded: (loaded: LoadWeightsResponse) => void,
    options: WaitOptions,
  ): ApiFuture<LoadWeightsResponse> {
    const send = async (turns: ReservedTurns): Promise<Sent<LoadWeightsResponse>> => {
      const accepted = await this.model.load({ ...request, path: await resolve(request.path) }, turns.use(0));
      const result = accepted.result.then((loaded) => {
        if (!request.optimizer) this.steps = 0;
        onLoaded(loaded);
        return loaded;
      });
      result.catch(() => undefined);
      return { requestId: accepted.requestId, result };
    };
    const future = this.turns(1, send, options);
    // A load clears what was accumulated, so a failure before it no longer matters to the next step.
    if (future.seqIds.length > 0) this.#sinceStep = [];
    return future;
  }

  #remember<T>(backward: boolean, future: ApiFuture<T>): ApiFuture<T> {
    // Without turns it was refused before it could leave anything.
    if (backward && future.seqIds.length > 0) this.#sinceStep.push(future.result());
    return future;
  }
}
