/** Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in the layout of transformers: halves, not neighbours. */
import type { PlanBuilder, TensorRef } from '../gpu/plan.ts';
import { flatGrid } from './rows.ts';
import { checkShape } from './shapes.ts';

export interface RopeOptions {
  heads: number;
  headDim: number;
  /** Turns back: the gradient of the forward rotation. */
  backward: boolean;
  /** A key cache `[texts * maxLen, heads * headDim]`: row t goes to its row `rows[t]`, and x stays as it is. */
  out?: { cache: TensorRef; rows: TensorRef };
}

/**
 * Records the rotation of x `[tokens, heads * headDim]`, in place or into a cache. `positions` are words, one per
 * token; `cosSin` is `ropeTable`'s `[maxPositions, headDim]`.
 */
export function rope(
  plan: PlanBuilder,
  x: TensorRef,
  positions: TensorRef,
  cosSin: TensorRef,
  { heads, headDim, backward, out }: RopeOptions,
): void {
  if (headDim % 4 !== 0) throw new Error(`rope: headDim ${headDim} is not a multiple of 4.`);
  checkShape('rope', x, x.rows, heads * headDim);
  checkShape('rope', cosSin, cosSin.rows, headDim);
  const half2 = headDim / 4;
  const grid = flatGrid(x.rows * heads * half2);
  if (!out) {
    plan.dispatch({
      kernel: { name: 'rope' },
      bindings: { positions, cos_sin: cosSin, x },
      params: { heads, half2, direction: backward ? -1 : 1 },
      grid,
    });
    return;
  }
  if (backward) throw new Error('rope: there is no backward pass into a cache.');
  checkShape('rope', out.cache, out.cache.rows, x.cols);
  plan.dispatch({
    kernel: { name: 'rope-cache' },
    bindings: { x, positions, cos_sin: cosSin, cache_rows: out.rows, cache: out.cache },
    params: { heads, half2 },
    grid,
  });
}
