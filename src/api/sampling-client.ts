/** Draws from one snapshot of weights. It keeps answering with that until `hotLoad` gives it another. */
import { attempt, oneOf, rejected } from './attempt.ts';
import type { BackendSampler, SampleRequest, SamplerHandle, StreamEvent } from './backend.ts';
import { tokenizerOf, type ClientHost, type RetryConfig } from './client-host.ts';
import { APIResponseValidationError, BadRequestError } from './errors.ts';
import { createFuture, type ApiFuture, type WaitOptions } from './future.ts';
import { createLimiter, type Limiter } from './limiter.ts';
import { checkTokens, ModelInput } from './model-input.ts';
import { ClientClosedError, QueueFullError } from './own-errors.ts';
import { checkSampling } from './parameters.ts';
import { parseCheckpointPath } from './paths.ts';
import type { ApiTokenizer, SampleResponse, SamplingParams } from './types.ts';

export interface SampleOptions extends WaitOptions {
  /** 1 unless said otherwise. With a seed, sample i is drawn from a stream of its own. */
  numSamples?: number;
  samplingParams?: SamplingParams;
  includePromptLogprobs?: boolean;
  /** The likeliest so many tokens at each prompt position; 0 is off. */
  topkPromptLogprobs?: number;
}

const MAX_CONCURRENT = 2000;
const MAX_PENDING = 16_384;
const MAX_SAMPLES = 4096;

function toRequest(prompt: ModelInput | readonly number[], options: SampleOptions): SampleRequest {
  const input = 'chunks' in prompt ? prompt : ModelInput.fromInts(prompt);
  for (const chunk of input.chunks)
    if (chunk.type === 'encoded_text') checkTokens(chunk.tokens, 'The prompt');
  if (ModelInput.length(input) === 0) throw new BadRequestError({ message: 'The prompt is empty.' });
  const { numSamples = 1, topkPromptLogprobs = 0 } = options;
  const whole = (value: number, from: number, to: number): boolean =>
    Number.isInteger(value) && value >= from && value <= to;
  if (!whole(numSamples, 1, MAX_SAMPLES)) {
    throw new BadRequestError({
      message: `numSamples is ${String(numSamples)}; it must be a whole number from 1 to ${String(MAX_SAMPLES)}.`,
    });
  }
  if (!whole(topkPromptLogprobs, 0, 1024)) {
    throw new BadRequestError({
      message: `topkPromptLogprobs is ${String(topkPromptLogprobs)}; it must be a whole number from 0 to 1024.`,
    });
  }
  return {
    prompt: input.chunks.map((chunk) =>
      chunk.type === 'encoded_text' ? { ...chunk, tokens: [...chunk.tokens] } : chunk,
    ),
    numSamples,
    params: checkSampling(options.samplingParams),
    promptLogprobs: options.includePromptLogprobs ?? false,
    topkPromptLogprobs,
  };
}

export class SamplingClient {
  readonly #host: ClientHost;
  readonly #sampler: BackendSampler;
  readonly #limiter: Limiter;
  #nextSeq = 1;
  #pending = 0;
  #closed = false;

  /** Made by a ServiceClient or a TrainingClient. */
  constructor(host: ClientHost, sampler: BackendSampler, retry: RetryConfig = {}) {
    this.#host = host;
    this.#sampler = sampler;
    const limit = retry.maxConcurrentSamples ?? host.retry.maxConcurrentSamples ?? MAX_CONCURRENT;
    if (!Number.isInteger(limit) || limit < 1) {
      throw new BadRequestError({
        message: `maxConcurrentSamples is ${String(limit)}; it must be a whole number from 1.`,
      });
    }
    this.#limiter = createLimiter(Math.min(limit, MAX_CONCURRENT));
  }

  /** Which weights answer: a path or name, null for the base model. */
  get snapshot(): string | null {
    return this.#sampler.snapshot;
  }

  getBaseModel(): string {
    return this.#sampler.baseModel;
  }

  /** Draws completions of a prompt. The same seed gives the same tokens. */
  sample(prompt: ModelInput | readonly number[], options: SampleOptions = {}): ApiFuture<SampleResponse> {
    const request = attempt(() => {
      this.#throwIfClosed();
      if (this.#pending >= MAX_PENDING)
        throw new QueueFullError({
          message: `${String(this.#pending)} samples are still to come, the most that a client keeps.`,
        });
      return toRequest(prompt, options);
    });
    return request.ok ? this.#send(request.value, options) : rejected(request.error);
  }

  /** The log-probability of each prompt token given those before it; the first is null. */
  computeLogprobs(
    prompt: ModelInput | readonly number[],
    options: WaitOptions = {},
  ): ApiFuture<(number | null)[]> {
    const sampled = this.sample(prompt, {
      includePromptLogprobs: true,
      samplingParams: { maxTokens: 1, temperature: 0 },
    });
    return createFuture(
      async () => {
        const { promptLogprobs } = await sampled;
        if (promptLogprobs !== undefined) return promptLogprobs;
        throw new APIResponseValidationError({
          message: `${this.#host.backend.label} gave no log-probabilities of the prompt.`,
        });
      },
      { ...options, seqIds: sampled.seqIds },
    );
  }

  /**
   * Tokens as they are drawn. Where the backend gives whole results only, the tokens come at once at the end, with the
   * warning STREAM_EMULATED.
   */
  async *sampleStream(
    prompt: ModelInput | readonly number[],
    options: SampleOptions = {},
  ): AsyncIterable<StreamEvent> {
    this.#throwIfClosed();
    const { stream } = this.#sampler;
    if (stream !== null) {
      yield* stream(toRequest(prompt, options), options.signal);
      return;
    }
    this.#host.warnings.once({
      code: 'STREAM_EMULATED',
      message: `${this.#host.backend.label} gives whole samples only; their tokens come together.`,
    });
    const { sequences } = await this.sample(prompt, options);
    for (const [sample, { tokens, logprobs, stopReason }] of sequences.entries()) {
      for (const [i, token] of tokens.entries()) {
        const logprob = logprobs?.[i];
        yield logprob === undefined ? { sample, token } : { sample, token, logprob };
      }
      yield { sample, stopReason };
    }
  }

  /**
   * Switches to other weights without a restart: samples that are on their way finish on the old ones, later ones use
   * the new. When it rejects, the old weights go on answering.
   */
  hotLoad(path: string): ApiFuture<void> {
    return createFuture(async () => {
      this.#throwIfClosed();
      await this.#sampler.hotLoad(parseCheckpointPath(path, { assume: 'sampler' }));
    });
  }

  getTokenizer(): ApiFuture<ApiTokenizer> {
    return createFuture(() => tokenizerOf(this.#host, this.#sampler.baseModel, this.#sampler.tokenizer()));
  }

  /** A value that another worker or tab opens with SamplingClient.fromSamplerHandle. */
  getSamplerHandle(): ApiFuture<SamplerHandle> {
    return createFuture(() => {
      this.#throwIfClosed();
      return this.#sampler.handle();
    });
  }

  /** Opens a handle on a service of the same backend. */
  static fromSamplerHandle(
    service: { readonly host: Promise<ClientHost> },
    handle: SamplerHandle,
  ): ApiFuture<SamplingClient> {
    return createFuture(async () => {
      oneOf('handle.kind', (handle as Partial<SamplerHandle> | null)?.kind ?? ('' as never), [
        'lorikeet-sampler',
      ]);
      const host = await service.host;
      if (handle.samplerId !== null)
        return host.openSampler({
          samplerId: handle.samplerId,
          snapshotName: handle.modelPath ?? handle.samplerId,
        });
      if (handle.modelPath === null) return host.openSampler({ baseModel: handle.baseModel });
      return host.openSampler({ modelPath: parseCheckpointPath(handle.modelPath, { assume: 'sampler' }) });
    });
  }

  /** Lets the sampler go; what was submitted is finished. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#sampler.close();
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new ClientClosedError({ message: 'The sampling client is closed.' });
  }

  #send(request: SampleRequest, options: WaitOptions): ApiFuture<SampleResponse> {
    const seqId = this.#nextSeq++;
    this.#pending += 1;
    return createFuture(
      (control) =>
        this.#limiter
          .run(async () => {
            const turn = { seqId, onQueueState: control.queueState.bind(control) };
            const { requestId, result } = await this.#sampler.sample(request, turn);
            control.accepted(requestId);
            return result;
          })
          .finally(() => {
            this.#pending -= 1;
          }),
      { ...options, seqIds: [seqId] },
    );
  }
}
