/** A loaded model: frozen weights on a device, shared by training, evaluation and sampling. */
import type { TensorSource } from '../../formats/tensors.ts';
import { BufferPool } from '../gpu/buffers.ts';
import { KernelCache } from '../gpu/kernels.ts';
import { externalTensor, type TensorRef } from '../gpu/plan.ts';
import { SubmitPace } from '../gpu/plan-run.ts';
import { defaultTuning, type Tuning } from '../gpu/tuning.ts';
import { withErrorScopes } from '../gpu/errors.ts';
import type { ModelConfig } from './config.ts';
import { ropeTable } from './rope-table.ts';
import { WeightLoader, type ModelWeights } from './weights.ts';

export interface BaseModel {
  device: GPUDevice;
  config: ModelConfig;
  weights: ModelWeights;
  /** Cosines and sines of every position; null for learned positions. */
  ropeTable: TensorRef | null;
  pool: BufferPool;
  kernels: KernelCache;
  pace: SubmitPace;
  tuning: Tuning;
  /** Frees the weights. Sessions and generators on it must be gone. */
  dispose(): void;
}

export interface LoadOptions {
  config: ModelConfig;
  tensors: TensorSource;
  onProgress?: (doneBytes: number, totalBytes: number) => void;
  tuning?: Tuning;
}

/** Loads the weights tensor by tensor. Throws WEIGHTS_INVALID, MODEL_UNSUPPORTED, GPU_LIMIT or MEMORY_EXCEEDED; then nothing stays allocated. */
export async function loadBaseModel(device: GPUDevice, options: LoadOptions): Promise<BaseModel> {
  const { config, tensors } = options;
  const pool = new BufferPool(device);
  try {
    return await withErrorScopes(device, 'the model', async () => {
      const weights = await new WeightLoader(
        pool,
        config,
        tensors,
        options.onProgress ?? (() => undefined),
      ).load();
      const table = config.rope
        ? externalTensor(
            'rope table',
            pool.createWith('rope table', ropeTable(config.rope, config.headDim, config.maxPositions)),
            config.maxPositions,
            config.headDim,
          )
        : null;
      return {
        device,
        config,
        weights,
        ropeTable: table,
        pool,
        kernels: new KernelCache(device),
        pace: new SubmitPace(),
        tuning: options.tuning ?? defaultTuning(device),
        dispose: () => pool[Symbol.dispose](),
      };
    });
  } catch (error) {
    pool[Symbol.dispose]();
    throw error;
  }
}
