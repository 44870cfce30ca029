/** A frozen model to compare with: it is never trained and never saved. */
import { createFuture, type ApiFuture, type WaitOptions } from './future.ts';
import { ModelInput } from './model-input.ts';
import { BadRequestError } from './errors.ts';
import type { TrainingClient } from './training-client.ts';
import type { Datum, ForwardBackwardOutput, LossFnType } from './types.ts';

export class ReferenceClient {
  readonly #client: TrainingClient;

  /** Made by a ServiceClient. */
  constructor(client: TrainingClient) {
    this.#client = client;
  }

  get baseModel(): string {
    return this.#client.baseModel;
  }

  forward(
    data: readonly Datum[],
    lossFn: LossFnType,
    lossFnConfig: Readonly<Record<string, number>> | null = null,
    options: WaitOptions = {},
  ): ApiFuture<ForwardBackwardOutput> {
    return this.#client.forward(data, lossFn, lossFnConfig, options);
  }

  /** The log-probability of each token given those before it; the first is null. */
  computeLogprobs(
    prompt: ModelInput | readonly number[],
    options: WaitOptions = {},
  ): ApiFuture<(number | null)[]> {
    return createFuture(async () => {
      const tokens = 'chunks' in prompt ? ModelInput.toInts(prompt) : [...prompt];
      if (tokens.length === 0) throw new BadRequestError({ message: 'The prompt is empty.' });
      if (tokens.length === 1) return [null];
      const datum = {
        modelInput: ModelInput.fromInts(tokens.slice(0, -1)),
        lossFnInputs: { targetTokens: tokens.slice(1) },
      };
      const { lossFnOutputs } = await this.#client.forward([datum], 'cross_entropy');
      return [null, ...Array.from(lossFnOutputs[0]?.['logprobs']?.data ?? [], Number)];
    }, options);
  }

  dispose(): Promise<void> {
    return this.#client.dispose();
  }
}
