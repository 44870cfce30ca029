/** What the clients of one service share; the service makes it and hands it to each of them. */
import type { Backend, SamplerSource } from './backend.ts';
import type { ColdShelf } from './cold-shelf.ts';
import { UnsupportedFeatureError } from './own-errors.ts';
import type { OpenFromStateOptions } from './open-from-state.ts';
import type { SamplingClient } from './sampling-client.ts';
import type { TrainingClient } from './training-client.ts';
import type { ApiTokenizer } from './types.ts';
import type { WarningSink } from './warnings.ts';

export interface RetryConfig {
  /** Samples on their way at once; more wait. */
  maxConcurrentSamples?: number;
}

export interface ClientHost {
  readonly backend: Backend;
  readonly warnings: WarningSink;
  /** The caller's tokenizers, for backends that have none. */
  readonly tokenizer: ((baseModel: string) => Promise<ApiTokenizer>) | null;
  readonly retry: RetryConfig;
  /** Checkpoints that were moved to a cold store; loads fetch them back. */
  readonly cold: ColdShelf;
  openFromState(path: string, options: OpenFromStateOptions): Promise<TrainingClient>;
  openSampler(source: SamplerSource, retry?: RetryConfig): Promise<SamplingClient>;
}

/** The backend's tokenizer, else the caller's. Throws UnsupportedFeatureError where there is neither. */
export async function tokenizerOf(
  host: Pick<ClientHost, 'backend' | 'tokenizer'>,
  baseModel: string,
  own: Promise<ApiTokenizer | null>,
): Promise<ApiTokenizer> {
  const found = (await own) ?? (await host.tokenizer?.(baseModel)) ?? null;
  if (found !== null) return found;
  throw new UnsupportedFeatureError({
    feature: 'getTokenizer',
    backend: host.backend.label,
    why: 'it hands out no tokenizers',
    fix: 'Give the ServiceClient a function `tokenizer` that loads the one of the base model.',
  });
}
