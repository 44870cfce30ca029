/** Samples from one snapshot of weights on this machine, until `hotLoad` gives it another. */
import type { Accepted, BackendSampler, SampleRequest, SamplerHandle, StreamEvent } from '../api/backend.ts';
import { BadRequestError } from '../api/errors.ts';
import { ClientClosedError } from '../api/own-errors.ts';
import type { ParsedCheckpointPath } from '../api/paths.ts';
import type { ApiTokenizer, SampledSequence, SampleResponse } from '../api/types.ts';
import { createStreamDecoder } from '../data/stream-decoder.ts';
import type { Draw } from '../engine/index.ts';
import type { Adapter } from '../formats/adapter.ts';
import { philox4x32 } from '../philox.ts';
import type { OpenBase } from './bases.ts';
import type { LocalShared } from './host.ts';
import { mapped } from './map-error.ts';
import type { SamplerEngine } from './sampler-engine.ts';
import { apiTokenizer } from './tokenizer.ts';

/** Sets this use of the seed apart from the others. */
const PURPOSE = 0x4d554c54;

/** The seed of one of several samples: a stream of its own, from (seed, index). */
export function sampleSeed(seed: number, index: number): number {
  const [high, low] = philox4x32([index, 0, 0, PURPOSE], [seed % 2 ** 32, Math.floor(seed / 2 ** 32)]);
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}

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

function tokensOf(prompt: SampleRequest['prompt']): number[] {
  return prompt.flatMap((chunk) => {
    if (chunk.type === 'encoded_text') return [...chunk.tokens];
    throw new BadRequestError({ message: `The model takes text alone, and the prompt has a ${chunk.type}.` });
  });
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

  constructor(options: LocalSamplerOptions) {
    this.#options = options;
    this.baseModel = options.baseModel;
    this.#engine = options.engine;
    this.#snapshot = options.snapshot;
    this.#handle = options.handle;
  }

  get snapshot(): string | null {
    return this.#snapshot;
  }

  sample(request: SampleRequest): Promise<Accepted<SampleResponse>> {
    const result = this.#inTurn(() => this.#answer(request));
    result.catch(() => undefined);
    return Promise.resolve({ requestId: this.#options.shared.nextRequestId(), result });
  }

  async #answer(request: SampleRequest): Promise<SampleResponse> {
    const prompt = this.#checkedPrompt(request);
    const snapshot = this.#snapshot;
    const promptLogprobs = request.promptLogprobs
      ? [null, ...(await this.#engine.logprobs(prompt))]
      : undefined;
    const topkPromptLogprobs =
      request.topkPromptLogprobs > 0 ? await this.#top(prompt, request.topkPromptLogprobs) : undefined;
    const drawn = Array.from(
      { length: request.numSamples },
      (): SampledSequence & { logprobs: number[] } => ({
        stopReason: 'length',
        tokens: [],
        logprobs: [],
      }),
    );
    const stopped = await this.#draw(
      request,
      prompt,
      drawn.map(({ tokens, logprobs }) => (token, logprob) => {
        tokens.push(token);
        logprobs.push(logprob);
      }),
    );
    const sequences = drawn.map((sequence, i) => ({ ...sequence, stopReason: stopped[i] ?? 'length' }));
    return {
      sequences,
      promptCacheHitTokens: 0,
      ...(promptLogprobs === undefined ? {} : { promptLogprobs }),
      ...(topkPromptLogprobs === undefined ? {} : { topkPromptLogprobs }),
      ...(snapshot === null ? {} : { snapshot }),
    };
  }

  #checkedPrompt({ prompt }: SampleRequest): number[] {
    const ids = tokensOf(prompt);
    const { maxPositions, vocabSize } = this.#engine.base.model.config;
    if (ids.length >= maxPositions) {
      throw new BadRequestError({
        message: `The prompt has ${String(ids.length)} tokens; the model's context has ${String(maxPositions)}.`,
        fix: 'Use a shorter prompt.',
      });
    }
    const outside = ids.find((id) => id >= vocabSize);
    if (outside === undefined) return ids;
    throw new BadRequestError({
      message: `The prompt has the token ${String(outside)}; the vocabulary has ${String(vocabSize)}.`,
      fix: "Use the model's own tokenizer.",
    });
  }

  /**
   * Draws a sample for each of `tells`, side by side, and tells each token; `first` is the number of the first among the
   * request's samples. Tokens that end a sample are part of it, as in the other services.
   */
  async #draw(
    { params }: SampleRequest,
    prompt: readonly number[],
    tells: readonly ((token: number, logprob: number) => void)[],
    { first = 0, signal }: { first?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<('stop' | 'length')[]> {
    const { model } = this.#engine.base;
    const random = params.seed ?? Math.floor(Math.random() * 2 ** 48);
    const left = model.config.maxPositions - prompt.length;
    const options = {
      maxTokens: Math.min(params.maxTokens ?? left, left),
      temperature: params.temperature,
      topK: Math.max(0, params.topK),
      topP: params.topP,
    };
    const ends = endsOf(params, model);
    const stopped = tells.map(() => false);
    const draws = tells.map((tell, i): Draw => {
      const isEnd = ends();
      return {
        seed: sampleSeed(random, first + i),
        wanted: ({ id, logprob }) => {
          tell(id, logprob);
          const end = isEnd(id);
          stopped[i] = end;
          return !end;
        },
      };
    });
    await this.#engine.draw(prompt, options, draws, signal);
    return stopped.map((end) => (end ? 'stop' : 'length'));
  }

  /** Likeliest tokens at each position but the first, most likely first. */
  async #top(prompt: readonly number[], k: number): Promise<([number, number][] | null)[]> {
    const rows: ([number, number][] | null)[] = [null];
    await this.#engine.topLogits(prompt, (logits) => {
      if (rows.length < prompt.length) rows.push(likeliest(logits, k));
    });
    return rows;
  }

  stream = (request: SampleRequest, signal?: AbortSignal): AsyncIterable<StreamEvent> => {
    const events: StreamEvent[] = [];
    let wake: () => void = () => undefined;
    let over = false;
    const push = (event: StreamEvent): void => {
      events.push(event);
      wake();
    };
    const work = this.#inTurn(async () => {
      const prompt = this.#checkedPrompt(request);
      for (let sample = 0; sample < request.numSamples; sample++) {
        const tell = (token: number, logprob: number): void => {
          push({ sample, token, logprob });
        };
        const [stopReason = 'length'] = await this.#draw(request, prompt, [tell], { first: sample, signal });
        if (signal?.aborted === true) return;
        push({ sample, stopReason });
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
    return this.#inTurn(async () => {
      const { adapter, snapshot } = await this.#options.open(path, this.#engine);
      this.#engine = await this.#options.replace(this.#engine, adapter);
      this.#snapshot = snapshot;
      this.#handle = { modelPath: snapshot, samplerId: null };
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
    const done = this.#tail.then(() => mapped(work));
    this.#tail = done.catch(() => undefined);
    return done;
  }
}

/** Makes, for each sample, what says whether a token ends it: by its id, or by a text that it completes. */
function endsOf(
  { stop }: SampleRequest['params'],
  { stopIds, tokenizer }: OpenBase['model'],
): () => (id: number) => boolean {
  const ends = new Set([...stopIds, ...(stop !== null && 'tokens' in stop ? stop.tokens : [])]);
  const texts = stop !== null && 'strings' in stop ? stop.strings : [];
  if (texts.length === 0) return () => (id) => ends.has(id);
  const longest = texts.reduce((most, text) => Math.max(most, text.length), 0);
  return () => {
    const decoder = createStreamDecoder(tokenizer, { skipSpecialTokens: false });
    let tail = '';
    return (id) => {
      tail += decoder.push(id);
      const found = ends.has(id) || texts.some((text) => tail.includes(text));
      tail = tail.slice(-longest);
      return found;
    };
  };
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
