/** CPU twin of shaders/grad-norm.wgsl and grad-norm-total.wgsl. */

/** The L2 norm; infinite where any value is infinite or NaN. */
export function gradNormReference(grads: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < grads.length; i++) sum += (grads[i] ?? 0) ** 2;
  return Number.isFinite(sum) ? Math.sqrt(sum) : Infinity;
}
