/** The global L2 norm of all gradients, in a fixed order and without overflow. */
import type { PlanBuilder, TensorRef } from '../gpu/plan.ts';
import { FLAT_ALIGN, flatParts, flatSlice } from './flat.ts';
import { flatGrid } from './rows.ts';

/** Records the norm of `floats` values as a [1, 1] tensor; infinite where any of them is infinite or NaN. */
export function gradNorm(
  plan: PlanBuilder,
  grads: TensorRef,
  floats: number,
  largestBinding: number = plan.pool.device.limits.maxStorageBufferBindingSize,
): TensorRef {
  const count = Math.ceil(floats / FLAT_ALIGN);
  const partials = plan.tensor('norm partials', 1, count * 2);
  const norm = plan.tensor('norm', 1, 1);
  for (const part of flatParts(floats, largestBinding)) {
    const groups = Math.ceil(part.floats / FLAT_ALIGN);
    plan.dispatch({
      kernel: { name: 'grad-norm' },
      bindings: { grads: flatSlice(grads, part), partials },
      params: { count4: Math.ceil(part.floats / 4), groups, first_partial: part.first / FLAT_ALIGN },
      grid: flatGrid(groups, 1),
      flops: 3 * part.floats,
    });
  }
  plan.dispatch({
    kernel: { name: 'grad-norm-total' },
    bindings: { partials, norm },
    params: { count },
    grid: [1, 1, 1],
    flops: 4 * count,
  });
  return norm;
}
