/** LayerNorm (Ba et al. 2016, arXiv 1607.06450) with frozen weight and bias. */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { flatGrid, rowLimits, type RowOptions } from './rows.ts';
import { checkSameShape, checkShape } from './shapes.ts';

/** Workgroup of the kernels that walk one row per invocation; matches their `WG`. */
const ROW_WORKGROUP = 32;

/**
 * Records `(x - mean) * rstd * weight + bias` per row; `weight` and `bias` are `[1, cols]` float32, mean and rstd come
 * back as `[1, rows]`.
 */
export function layerNorm(
  plan: PlanBuilder,
  x: TensorRef,
  weight: TensorRef,
  bias: TensorRef,
  eps: number,
  options: RowOptions = {},
): { y: TensorRef; mean: TensorRef; rstd: TensorRef } {
  checkShape('layerNorm', weight, 1, x.cols);
  checkShape('layerNorm', bias, 1, x.cols);
  const { constants, params } = rowLimits(options);
  const cols4 = paddedCols(x.cols) / 4;
  const mean = plan.tensor('layernorm mean', 1, x.rows);
  const rstd = plan.tensor('layernorm rstd', 1, x.rows);
  plan.dispatch({
    kernel: { name: 'layernorm-stats', constants },
    bindings: { x, mean, rstd },
    params: { ...params, cols: x.cols, cols4, eps },
    grid: flatGrid(x.rows, ROW_WORKGROUP),
  });
  const y = plan.tensor('layernorm', x.rows, x.cols);
  plan.dispatch({
    kernel: { name: 'layernorm', constants },
    bindings: { x, weight, bias, mean, rstd, y },
    params: { ...params, cols4 },
    grid: flatGrid(x.rows * cols4),
  });
  return { y, mean, rstd };
}

/** Records the gradient of x into `dx`, stored or added. */
export function layerNormBackward(
  plan: PlanBuilder,
  dy: TensorRef,
  x: TensorRef,
  weight: TensorRef,
  mean: TensorRef,
  rstd: TensorRef,
  dx: TensorRef,
  { accumulate }: { accumulate: boolean },
  options: RowOptions = {},
): void {
  checkSameShape('layerNormBackward', dy, x);
  checkSameShape('layerNormBackward', dx, x);
  checkShape('layerNormBackward', weight, 1, x.cols);
  checkShape('layerNormBackward', mean, 1, x.rows);
  checkShape('layerNormBackward', rstd, 1, x.rows);
  const { constants, params } = rowLimits(options);
  const cols4 = paddedCols(x.cols) / 4;
  const rowSums = plan.tensor('layernorm sums', 1, 2 * x.rows);
  plan.dispatch({
    kernel: { name: 'layernorm-backward-sums', constants },
    bindings: { dy, x, weight, mean, rstd, row_sums: rowSums },
    params: { ...params, cols4 },
    grid: flatGrid(x.rows, ROW_WORKGROUP),
  });
  plan.dispatch({
    kernel: { name: 'layernorm-backward', constants: { ...constants, ACCUMULATE: accumulate ? 1 : 0 } },
    bindings: { dy, x, weight, mean, rstd, row_sums: rowSums, dx },
    params: { ...params, cols: x.cols, cols4 },
    grid: flatGrid(x.rows * cols4),
  });
}
