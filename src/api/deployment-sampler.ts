/** A sampler that takes and gives text, and admits only so many requests at once. */
import { BadRequestError } from './errors.ts';
import { createFuture, type ApiFuture } from './future.ts';
import { createLimiter, type Limiter } from './limiter.ts';
import type { SampleOptions, SamplingClient } from './sampling-client.ts';
import type { ApiTokenizer, SampleResponse } from './types.ts';

export interface DeploymentSamplerOptions {
  tokenizer: ApiTokenizer;
  concurrencyController?: { maxConcurrent: number };
}

export interface TextSampleResponse extends SampleResponse {
  texts: string[];
}

export class DeploymentSampler {
  readonly sampler: SamplingClient;
  readonly #tokenizer: ApiTokenizer;
  readonly #limiter: Limiter;

  /** Made by a ServiceClient. */
  constructor(sampler: SamplingClient, options: DeploymentSamplerOptions) {
    const { maxConcurrent = 32 } = options.concurrencyController ?? {};
    if (!Number.isInteger(maxConcurrent) || maxConcurrent < 1) {
      throw new BadRequestError({
        message: `maxConcurrent is ${String(maxConcurrent)}; it must be a whole number from 1.`,
      });
    }
    this.sampler = sampler;
    this.#tokenizer = options.tokenizer;
    this.#limiter = createLimiter(maxConcurrent);
  }

  /** Completions of a text, as tokens and as text. */
  sample(prompt: string, options: SampleOptions = {}): ApiFuture<TextSampleResponse> {
    return createFuture(
      () =>
        this.#limiter.run(async () => {
          const response = await this.sampler.sample(this.#tokenizer.encode(prompt), options);
          return {
            ...response,
            texts: response.sequences.map(({ tokens }) => this.#tokenizer.decode(tokens)),
          };
        }),
      options,
    );
  }

  /** Switches to other weights without a restart. */
  hotLoad(path: string): ApiFuture<void> {
    return this.sampler.hotLoad(path);
  }

  close(): Promise<void> {
    return this.sampler.close();
  }
}
