/** AdamW over the flat buffers of an adapter, as `torch.optim.AdamW` with `clip_grad_norm_` before it. */
import type { PlanBuilder, TensorRef } from '../gpu/plan.ts';
import type { AdamParams } from '../train/types.ts';
import { flatParts, flatSlice } from './flat.ts';
import { flatGrid } from './rows.ts';

/** Words of the buffer that `writeAdamHyper` fills. */
export const ADAM_HYPER_WORDS = 9;

/** Flat float32 buffers of one layout, and what steers the step. */
export interface AdamBuffers {
  params: TensorRef;
  grads: TensorRef;
  expAvg: TensorRef;
  expAvgSq: TensorRef;
  /** Words, filled by `writeAdamHyper` before each step. */
  hyper: TensorRef;
  /** Of `gradNorm`; where it is not finite, the step changes nothing. */
  norm: TensorRef;
}

/** Records one optimizer step over `floats` values; the gradients stay as they are. */
export function adamW(
  plan: PlanBuilder,
  { params, grads, expAvg, expAvgSq, hyper, norm }: AdamBuffers,
  floats: number,
  largestBinding: number = plan.pool.device.limits.maxStorageBufferBindingSize,
): void {
  for (const part of flatParts(floats, largestBinding)) {
    const count4 = Math.ceil(part.floats / 4);
    plan.dispatch({
      kernel: { name: 'adamw' },
      bindings: {
        hyper,
        norm,
        grads: flatSlice(grads, part),
        exp_avg: flatSlice(expAvg, part),
        exp_avg_sq: flatSlice(expAvgSq, part),
        parameters: flatSlice(params, part),
      },
      params: { count4 },
      grid: flatGrid(count4),
      flops: 16 * part.floats,
    });
  }
}

/**
 * Queues the numbers of optimizer step `step` (1 for the first) into the `hyper` buffer. The gradient is divided by
 * `divisor` before it is clipped; 1 leaves every bit of it.
 */
export function writeAdamHyper(
  device: GPUDevice,
  buffer: GPUBuffer,
  {
    learningRate,
    beta1,
    beta2,
    eps,
    weightDecay,
    gradClip,
    step,
    divisor = 1,
  }: AdamParams & { step: number; divisor?: number },
): void {
  if (!Number.isInteger(step) || step < 1) throw new Error(`writeAdamHyper: step ${step}.`);
  // In float64, as PyTorch does; 1 - beta ** step loses everything in float32 while step is small.
  const words = Float32Array.of(
    1 - learningRate * weightDecay,
    1 - beta1,
    beta2,
    1 - beta2,
    learningRate / (1 - beta1 ** step),
    Math.sqrt(1 - beta2 ** step),
    eps,
    gradClip,
    1 / divisor,
  );
  device.queue.writeBuffer(buffer, 0, words);
}
