/** Residual sums. */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { flatGrid, rowLimits, type RowOptions } from './rows.ts';
import { checkSameShape } from './shapes.ts';

/** Records `target += source`, elementwise over the rows in use. */
export function addInPlace(
  plan: PlanBuilder,
  target: TensorRef,
  source: TensorRef,
  options: RowOptions = {},
): void {
  checkSameShape('addInPlace', target, source);
  const { constants, params } = rowLimits(options);
  const cols4 = paddedCols(target.cols) / 4;
  plan.dispatch({
    kernel: { name: 'add', constants },
    bindings: { x: source, sum: target },
    params: { ...params, cols4 },
    grid: flatGrid(target.rows * cols4),
  });
}
