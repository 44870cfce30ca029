/** The key/value cache of decoding: `maxLen` rows for each text. */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { flatGrid } from './rows.ts';
import { checkShape } from './shapes.ts';

/** Records copying row t of x to row `cacheRows[t]` of `cache`. */
export function appendToCache(plan: PlanBuilder, x: TensorRef, cacheRows: TensorRef, cache: TensorRef): void {
  checkShape('appendToCache', cache, cache.rows, x.cols);
  const cols4 = paddedCols(x.cols) / 4;
  plan.dispatch({
    kernel: { name: 'cache-append' },
    bindings: { x, cache_rows: cacheRows, cache },
    params: { cols4 },
    grid: flatGrid(x.rows * cols4),
  });
}

/**
 * Records copying `batch.tokens` rows of `cache` from row `batch.keyOffset` on, where a text begins, to where the texts
 * behind it begin, `maxLen` rows apart, until `batch.headRows` texts have them.
 */
export function spreadPrompt(plan: PlanBuilder, cache: TensorRef, maxLen: number): void {
  const cols4 = paddedCols(cache.cols) / 4;
  plan.dispatch({
    kernel: { name: 'cache-spread' },
    bindings: { cache },
    params: { cols4, max_len: maxLen },
    grid: flatGrid(Math.max(1, cache.rows - maxLen) * cols4),
  });
}
