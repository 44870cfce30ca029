/**
 * The older way of bringing new weights to a running sampler, kept so that programs written for it run. The service
 * pattern does the same: saveWeightsForSampler, then hotLoad or createSamplingClient.
 */
import { resolveNextCheckpointType } from './next-checkpoint-type.ts';
import { createFuture, type ApiFuture } from './future.ts';
import type { SamplingClient } from './sampling-client.ts';
import type { TrainingClient } from './training-client.ts';
import type { CheckpointEncoding, SaveSamplerResult } from './types.ts';

export interface WeightSyncerOptions {
  /** Deltas against the base, where the backend has them. */
  deltas?: boolean;
  firstCheckpointType?: CheckpointEncoding;
}

export class WeightSyncer {
  readonly #client: TrainingClient;
  readonly #sampler: SamplingClient;
  readonly #o: WeightSyncerOptions;
  #baseSaved = false;

  constructor(client: TrainingClient, sampler: SamplingClient, options: WeightSyncerOptions = {}) {
    client.host.warnings.deprecated({
      code: 'LKD004',
      message: 'WeightSyncer is the older pattern.',
      replacement: 'saveWeightsForSampler, then samplingClient.hotLoad(path)',
    });
    this.#client = client;
    this.#sampler = sampler;
    this.#o = options;
  }

  /** Saves and switches the sampler. When the switch fails, the old weights serve on, and the next save is a base. */
  saveAndHotload(name: string): ApiFuture<SaveSamplerResult> {
    const saving = this.saveOnly(name);
    return createFuture(
      async () => {
        const saved = await saving;
        await this.hotload(saved.path);
        return saved;
      },
      { seqIds: saving.seqIds },
    );
  }

  saveOnly(name: string): ApiFuture<SaveSamplerResult> {
    const { deltas = false, firstCheckpointType } = this.#o;
    const checkpointType = resolveNextCheckpointType({
      // Without deltas every save is whole, as for any adapter.
      loraRank: deltas ? 0 : this.#client.lora.rank,
      baseSaved: this.#baseSaved,
      ...(firstCheckpointType === undefined ? {} : { firstCheckpointType }),
    });
    const saving = this.#client.saveWeightsForSamplerExt(name, { checkpointType });
    void saving.then(
      () => {
        this.#baseSaved = true;
      },
      () => undefined,
    );
    return saving;
  }

  hotload(path: string): ApiFuture<void> {
    return createFuture(async () => {
      try {
        await this.#sampler.hotLoad(path);
      } catch (error) {
        this.resetDeltaChain();
        throw error;
      }
    });
  }

  /** The next save is a base. */
  resetDeltaChain(): void {
    this.#baseSaved = false;
  }

  /** Which weights answer now. */
  checkDeploymentState(): { ready: boolean; snapshot: string | null } {
    return { ready: true, snapshot: this.#sampler.snapshot };
  }

  /** A switch is done when `hotload` resolves, so there is nothing left to wait for. */
  waitForHotloadReady(path: string): ApiFuture<boolean> {
    return createFuture(() => Promise.resolve(this.#sampler.snapshot === path));
  }
}
