/** GELU in the tanh form (Hendrycks and Gimpel 2016, arXiv 1606.08415): "gelu_new" and "gelu_pytorch_tanh". */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { flatGrid } from './rows.ts';
import { checkSameShape } from './shapes.ts';

/** Records `gelu(x)`, elementwise over `[tokens, cols]`. */
export function gelu(plan: PlanBuilder, x: TensorRef): TensorRef {
  const cols4 = paddedCols(x.cols) / 4;
  const y = plan.tensor('gelu', x.rows, x.cols);
  plan.dispatch({
    kernel: { name: 'gelu' },
    bindings: { x, y },
    params: { cols4 },
    grid: flatGrid(x.rows * cols4),
  });
  return y;
}

/** Records the backward pass in place: `x` becomes dx. */
export function geluBackward(plan: PlanBuilder, dy: TensorRef, x: TensorRef): void {
  checkSameShape('geluBackward', dy, x);
  const cols4 = paddedCols(x.cols) / 4;
  plan.dispatch({
    kernel: { name: 'gelu-backward' },
    bindings: { dy, x },
    params: { cols4 },
    grid: flatGrid(x.rows * cols4),
  });
}
