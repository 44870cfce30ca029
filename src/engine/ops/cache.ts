/** The key/value cache of decoding: new rows go behind those that are there. */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { flatGrid } from './rows.ts';
import { checkShape } from './shapes.ts';

/** Records copying row t of x to row `batch.keyOffset + t` of `cache`. */
export function appendToCache(plan: PlanBuilder, x: TensorRef, cache: TensorRef): void {
  checkShape('appendToCache', cache, cache.rows, x.cols);
  const cols4 = paddedCols(x.cols) / 4;
  plan.dispatch({
    kernel: { name: 'cache-append' },
    bindings: { x, cache },
    params: { cols4 },
    grid: flatGrid(x.rows * cols4),
  });
}
