/** RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467) with a frozen weight. */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { flatGrid, rowLimits, type RowOptions } from './rows.ts';
import { checkSameShape, checkShape } from './shapes.ts';

/** Workgroup of the kernels that walk one row per invocation; matches their `WG`. */
const ROW_WORKGROUP = 32;

/** Records `x * rstd * weight` per row; `weight` is `[1, cols]` float32, rstd comes back as `[1, rows]`. */
export function rmsNorm(
  plan: PlanBuilder,
  x: TensorRef,
  weight: TensorRef,
  eps: number,
  options: RowOptions = {},
): { y: TensorRef; rstd: TensorRef } {
  checkShape('rmsNorm', weight, 1, x.cols);
  const { constants, params } = rowLimits(options);
  const cols4 = paddedCols(x.cols) / 4;
  const rstd = plan.tensor('rmsnorm rstd', 1, x.rows);
  plan.dispatch({
    kernel: { name: 'rmsnorm-stats', constants },
    bindings: { x, rstd },
    params: { ...params, cols: x.cols, cols4, eps },
    grid: flatGrid(x.rows, ROW_WORKGROUP),
  });
  const y = plan.tensor('rmsnorm', x.rows, x.cols);
  plan.dispatch({
    kernel: { name: 'rmsnorm', constants },
    bindings: { x, weight, rstd, y },
    params: { ...params, cols4 },
    grid: flatGrid(x.rows * cols4),
  });
  return { y, rstd };
}

/** Records the gradient of x into `dx`, stored or added. */
export function rmsNormBackward(
  plan: PlanBuilder,
  dy: TensorRef,
  x: TensorRef,
  weight: TensorRef,
  rstd: TensorRef,
  dx: TensorRef,
  { accumulate }: { accumulate: boolean },
  options: RowOptions = {},
): void {
  checkSameShape('rmsNormBackward', dy, x);
  checkSameShape('rmsNormBackward', dx, x);
  checkShape('rmsNormBackward', weight, 1, x.cols);
  checkShape('rmsNormBackward', rstd, 1, x.rows);
  const { constants, params } = rowLimits(options);
  const cols4 = paddedCols(x.cols) / 4;
  const rowDot = plan.tensor('rmsnorm dot', 1, x.rows);
  plan.dispatch({
    kernel: { name: 'rmsnorm-backward-dot', constants },
    bindings: { dy, x, weight, row_dot: rowDot },
    params: { ...params, cols4 },
    grid: flatGrid(x.rows, ROW_WORKGROUP),
  });
  plan.dispatch({
    kernel: { name: 'rmsnorm-backward', constants: { ...constants, ACCUMULATE: accumulate ? 1 : 0 } },
    bindings: { dy, x, weight, rstd, row_dot: rowDot, dx },
    params: { ...params, cols: x.cols, cols4 },
    grid: flatGrid(x.rows * cols4),
  });
}
