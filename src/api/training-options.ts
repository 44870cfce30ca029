/** Options of the training client's methods. */
import type { WaitOptions } from './future.ts';
import type { CheckpointEncoding, LoopState, Metadata } from './types.ts';

export interface OptimStepOptions extends WaitOptions {
  /** Divides the summed gradient before clipping. */
  gradAccumulationNormalization?: 'none' | 'num_loss_tokens' | 'num_sequences' | null;
  emitGradNormMetrics?: 'off' | 'basic' | 'detailed';
}

export interface SaveStateOptions extends WaitOptions {
  ttlSeconds?: number | null;
  overwrite?: boolean;
  metadata?: Metadata;
  /** Where the caller's loop goes on; by default `client.loopState`. */
  loopState?: LoopState;
}

export interface SaveSamplerOptions extends WaitOptions {
  ttlSeconds?: number | null;
  checkpointType?: CheckpointEncoding;
}

export interface LoadOptions extends WaitOptions {
  weightsAccessToken?: string;
}

export interface BatchOptions extends WaitOptions {
  /**
   * `trained` lets the engine leave out the log-probabilities of targets that move no loss (NaN stands there), which saves
   * most of the head's work where prompts are long. Servers give all.
   */
  outputs?: 'all' | 'trained';
}
