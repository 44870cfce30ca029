/** CPU twin of shaders/adamw.wgsl. */
import type { AdamParams } from '../train/types.ts';

/** Parameters and moments, changed in place. */
export interface AdamArrays {
  params: Float64Array;
  expAvg: Float64Array;
  expAvgSq: Float64Array;
}

/** One step; `norm` is the gradients' global norm before it is divided and clipped. */
export function adamWReference(
  { params, expAvg, expAvgSq }: AdamArrays,
  grads: ArrayLike<number>,
  norm: number,
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
  if (!Number.isFinite(norm)) return;
  const clip = gradClip > 0 ? Math.min(1, gradClip / (norm / divisor + 1e-6)) : 1;
  const correction1 = 1 - beta1 ** step;
  const correction2 = 1 - beta2 ** step;
  for (let i = 0; i < params.length; i++) {
    const g = ((grads[i] ?? 0) / divisor) * clip;
    const m = beta1 * (expAvg[i] ?? 0) + (1 - beta1) * g;
    const v = beta2 * (expAvgSq[i] ?? 0) + (1 - beta2) * g * g;
    const denominator = Math.sqrt(v) / Math.sqrt(correction2) + eps;
    const change = m === 0 ? 0 : ((learningRate / correction1) * m) / denominator;
    expAvg[i] = m;
    expAvgSq[i] = v;
    params[i] = (params[i] ?? 0) * (1 - learningRate * weightDecay) - change;
  }
}
