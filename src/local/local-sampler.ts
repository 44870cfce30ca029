/** Samples from one snapshot of weights on this machine, until `hotLoad` gives it another. */
import type { Accepted, BackendSampler, SampleRequest, SamplerHandle, StreamEvent } from '../api/backend.ts';
import { ClientClosedError } from '../api/own-errors.ts';
import type { ParsedCheckpointPath } from '../api/paths.ts';
import type { ApiTokenizer, SampleResponse } from '../api/types.ts';
import type { Adapter } from '../formats/adapter.ts';
import { mappedOn } from './device-loss.ts';
import type { LocalShared } from './host.ts';
import { drawsOf, promptTokens, type DrawnSample } from './sample-draws.ts';
import type { SamplerEngine } from './sampler-engine.ts';
import { apiTokenizer } from './tokenizer.ts';

export interface LocalSamplerOptions {
  shared: LocalShared;
  baseModel: string;
  /** Path or name of the weights; null is the base model. */
  snapshot: string | null;
  /** What a handle of it says: a path, or an ephemeral snapshot. */
  handle: Pick<SamplerHandle, 'modelPath' | 'samplerId'>;
  engine: SamplerEngine;
  /** The weights of a path, checked to be of the engine's base model. */
  open(path: ParsedCheckpointPath, engine: SamplerEngine): Promise<{ adapter: Adapter; snapshot: string }>;
  /** Gives the engine back. */
  release(engine: SamplerEngine): Promise<void>;
  /** An engine for weights of another form. */
  replace(engine: SamplerEngine, adapter: Adapter): Promise<SamplerEngine>;
}

/** Samples of several requests that are drawn in one turn, at most; the others wait for the next. */
const MOST_IN_TURN = 64;

interface Waiting {
  request: SampleRequest;
  /** How many switches of weights were asked for before it. */
  switches: number;
  resolve: (response: SampleResponse) => void;
  reject: (reason: unknown) => void;
}

export class LocalSampler implements BackendSampler {
  readonly baseModel: string;
  readonly #options: LocalSamplerOptions;
  #engine: SamplerEngine;
  #snapshot: string | null;
  #handle: LocalSamplerOptions['handle'];
  /** Jobs and switches of weights one behind the other; never rejects. */
  #tail: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | null = null;
  /** Requests that are not begun, in their order. */
  #waiting: Waiting[] = [];
  /** Switches of weights that were asked for, and those that are over. */
  #switchesAsked = 0;
  #switchesDone = 0;

  constructor(options: LocalSamplerOptions) {
    this.#options = options;
    this.baseModel = options.baseModel;
    this.#engine = options.engine;
    this.#snapshot = options.snapshot;
    this.#handle = options.handle;
  }

  get #device(): GPUDevice {
    return this.#engine.base.gpu.device;
  }

  get snapshot(): string | null {
    return this.#snapshot;
  }

  sample(request: SampleRequest): Promise<Accepted<SampleResponse>> {
    const result = new Promise<SampleResponse>((resolve, reject) => {
      if (this.#closed === null)
        this.#waiting.push({ request, switches: this.#switchesAsked, resolve, reject });
      // Each request has a turn; the first takes those along that it can, and then theirs find nothing to do.
      this.#inTurn(() => this.#answerWaiting()).catch(reject);
    });
    result.catch(() => undefined);
    return Promise.resolve({ requestId: this.#options.shared.nextRequestId(), result });
  }

  /** Draws what waits for the weights of now, side by side: the answers are those of one request after the other. */
  async #answerWaiting(): Promise<void> {
    if (this.#waiting.length === 0) return;
    // What is asked for in the same breath comes along.
    await nextTask();
    const taken = this.#take();
    const draws: DrawnSample['draw'][] = [];
    for (const waiting of taken) {
      try {
        draws.push(...(await mappedOn(this.#device, () => this.#begin(waiting))));
      } catch (error) {
        waiting.reject(error);
      }
    }
    try {
      await mappedOn(this.#device, () => this.#engine.draw(draws));
    } catch (error) {
      // Of those that are answered already this changes nothing.
      for (const { reject } of taken) reject(error);
    }
  }

  /** The first requests that wait for the weights of now, as many as a turn takes. */
  #take(): Waiting[] {
    let samples = 0;
    const end = this.#waiting.findIndex(({ request, switches }, i) => {
      samples += request.numSamples;
      return switches !== this.#switchesDone || (i > 0 && samples > MOST_IN_TURN);
    });
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  /** Answers what a request asks of its prompt, and gives its draws: once the last has ended, so is the request. */
  async #begin({ request, resolve }: Waiting): Promise<DrawnSample['draw'][]> {
    const { model } = this.#engine.base;
    const prompt = promptTokens(request, model);
    const snapshot = this.#snapshot;
    const promptLogprobs = request.promptLogprobs
      ? [null, ...(await this.#engine.logprobs(prompt))]
      : undefined;
    const topkPromptLogprobs =
      request.topkPromptLogprobs > 0 ? await this.#top(prompt, request.topkPromptLogprobs) : undefined;
    let left = request.numSamples;
    const answer = (): void => {
      resolve({
        sequences: samples.map(({ sequence }) => sequence),
        promptCacheHitTokens: 0,
        ...(promptLogprobs === undefined ? {} : { promptLogprobs }),
        ...(topkPromptLogprobs === undefined ? {} : { topkPromptLogprobs }),
        ...(snapshot === null ? {} : { snapshot }),
      });
    };
    const samples = drawsOf(request, prompt, model, {
      ended: () => {
        if (--left === 0) answer();
      },
    });
    if (samples.length === 0) answer();
    return samples.map(({ draw }) => draw);
  }

  /** Likeliest tokens at each position but the first, most likely first. */
  async #top(prompt: readonly number[], k: number): Promise<([number, number][] | null)[]> {
    const rows: ([number, number][] | null)[] = [null];
    await this.#engine.topLogits(prompt, (logits) => {
      if (rows.length < prompt.length) rows.push(likeliest(logits, k));
    });
    return rows;
  }

  /** One sample after the other, so that the first of them comes as soon as it can. */
  stream = (request: SampleRequest, signal?: AbortSignal): AsyncIterable<StreamEvent> => {
    const events: StreamEvent[] = [];
    let wake: () => void = () => undefined;
    let over = false;
    const push = (event: StreamEvent): void => {
      events.push(event);
      wake();
    };
    const work = this.#inTurn(async () => {
      const { model } = this.#engine.base;
      const token = (sample: number, token: number, logprob: number): void => {
        push({ sample, token, logprob });
      };
      const samples = drawsOf(request, promptTokens(request, model), model, { token });
      for (const [sample, { draw, sequence }] of samples.entries()) {
        await this.#engine.draw([draw], signal);
        if (signal?.aborted === true) return;
        push({ sample, stopReason: sequence.stopReason });
      }
    }).finally(() => {
      over = true;
      wake();
    });
    work.catch(() => undefined);
    return (async function* () {
      for (;;) {
        const event = events.shift();
        if (event !== undefined) yield event;
        else if (over) break;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      await work;
    })();
  };

  hotLoad(path: ParsedCheckpointPath): Promise<void> {
    this.#switchesAsked++;
    return this.#inTurn(async () => {
      try {
        const { adapter, snapshot } = await this.#options.open(path, this.#engine);
        this.#engine = await this.#options.replace(this.#engine, adapter);
        this.#snapshot = snapshot;
        this.#handle = { modelPath: snapshot, samplerId: null };
      } finally {
        this.#switchesDone++;
      }
    });
  }

  tokenizer(): Promise<ApiTokenizer> {
    return Promise.resolve(apiTokenizer(this.#engine.base.model.tokenizer));
  }

  handle(): Promise<SamplerHandle> {
    return Promise.resolve({ kind: 'lorikeet-sampler', baseModel: this.baseModel, ...this.#handle });
  }

  close(): Promise<void> {
    this.#closed ??= this.#tail.then(() => this.#options.release(this.#engine));
    return this.#closed;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed !== null)
      return Promise.reject(new ClientClosedError({ message: 'The sampler is closed.' }));
    const done = this.#tail.then(() => mappedOn(this.#device, work));
    this.#tail = done.catch(() => undefined);
    return done;
  }
}

/** Resolves in a task of its own. No timer: those of tabs that are not seen are a second late. */
function nextTask(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

function likeliest(logits: Float32Array, k: number): [number, number][] {
  let top = -Infinity;
  for (const logit of logits) if (logit > top) top = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const total = top + Math.log(sum);
  return Array.from(logits, (logit, id): [number, number] => [id, logit - total])
    .sort((a, b) => b[1] - a[1] || a[0] - b[0])
    .slice(0, k);
}
