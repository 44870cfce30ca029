/** dLoss/dlogprob of the rows that reach the head, by the loss that the batch names. */
import type { PlanBuilder, TensorRef } from '../gpu/plan.ts';
import { checkShape } from './shapes.ts';

/** Records the coefficient [1, head rows] from `logprob` [1, head rows] and the loss's inputs [head rows, 4]. */
export function lossCoefficient(plan: PlanBuilder, logprob: TensorRef, inputs: TensorRef): TensorRef {
  const rows = logprob.cols;
  checkShape('lossCoefficient', logprob, 1, rows);
  checkShape('lossCoefficient', inputs, rows, 4);
  const coefficient = plan.tensor('head coefficient', 1, rows);
  plan.dispatch({
    kernel: { name: 'loss-coefficient' },
    bindings: { logprob, inputs, coefficient },
    grid: [Math.ceil(rows / 64), 1, 1],
  });
  return coefficient;
}
