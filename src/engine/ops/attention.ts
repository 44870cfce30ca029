/**
 * Causal attention with grouped query heads over packed sequences, without a [tokens, tokens] matrix
 * (FlashAttention: Dao et al. 2022, arXiv 2205.14135): scores are recomputed from q, k and the log-sum-exp.
 */
import { loadsByLane, subgroupConstants } from '../gpu/device.ts';
import type { KernelSpec } from '../gpu/kernels.ts';
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { flatGrid } from './rows.ts';
import { checkSameShape, checkShape } from './shapes.ts';

export interface AttentionOptions {
  heads: number;
  /** Divides `heads`; query head h uses key/value head `floor(h * kvHeads / heads)`. */
  kvHeads: number;
  /** A multiple of 4. */
  headDim: number;
  /** Multiplies every score, usually `1 / sqrt(headDim)`. */
  scale: number;
  /** Keys a token sees at most, its own included; null for all. */
  window: number | null;
  /** k and v are caches `[texts * maxLen, …]`, and query row t sits at their row `batch.keyOffset + t`. */
  cached?: boolean;
  /** Load rows for each other in the subgroup; by default where that pays. Needs a device with subgroups. */
  subgroups?: boolean;
}

export interface AttentionInputs {
  q: TensorRef;
  k: TensorRef;
  v: TensorRef;
  /** What `attention` gave. */
  out: TensorRef;
  lse: TensorRef;
  dOut: TensorRef;
  /** Words per token: the first row of its sequence, and one past the last. */
  segStart: TensorRef;
  segEnd: TensorRef;
}

/** `window: null` for the kernels. */
const NO_WINDOW = 0xffffffff;
/** Rows (queries or keys) of one invocation. */
const BLOCK = 4;
/** Below this, most invocations of a subgroup would only load for others. */
const FEW_ROWS = 24;

/**
 * Records attention of q `[tokens, heads * headDim]` over k and v `[tokens, kvHeads * headDim]`: token t sees rows
 * `max(segStart[t], t - window + 1)` to t. Gives out, shaped as q, and the log-sum-exps `[tokens, heads]`.
 */
export function attention(
  plan: PlanBuilder,
  q: TensorRef,
  k: TensorRef,
  v: TensorRef,
  segStart: TensorRef,
  options: AttentionOptions,
): { out: TensorRef; lse: TensorRef } {
  const { heads, kvHeads, cached = false } = options;
  const params = sharedParams(options);
  checkShapes('attention', q, k, v, options);
  const out = plan.tensor('attention', q.rows, q.cols);
  const lse = plan.tensor('attention lse', q.rows, heads);
  const shape = kernelShape(plan, 'attention', (q.rows * heads) / kvHeads, options);
  plan.dispatch({
    kernel: shape.kernel,
    bindings: { q, k, v, seg_start: segStart, out, lse },
    params: { ...params, lse_stride: paddedCols(heads), cached: cached ? 1 : 0 },
    grid: shape.grid,
    flops: 2 * productFlops(q, k, cached),
  });
  return { out, lse };
}

/**
 * Records attention of one token each of several texts: q `[tokens, heads * headDim]` over caches `[texts * maxLen, …]`,
 * where token t sees rows `segStart[t]` to `cacheRows[t]`. Gives the bits of `attention` on a text alone.
 */
export function attentionDecode(
  plan: PlanBuilder,
  {
    q,
    k,
    v,
    segStart,
    cacheRows,
  }: Pick<AttentionInputs, 'q' | 'k' | 'v' | 'segStart'> & { cacheRows: TensorRef },
  options: AttentionOptions,
): { out: TensorRef; lse: TensorRef } {
  const { heads } = options;
  const params = sharedParams(options);
  checkShapes('attentionDecode', q, k, v, options);
  const out = plan.tensor('attention', q.rows, q.cols);
  const lse = plan.tensor('attention lse', q.rows, heads);
  const width = workgroup(q.rows * heads);
  plan.dispatch({
    kernel: { name: 'attention-decode', constants: { WG: width } },
    bindings: { q, k, v, seg_start: segStart, cache_rows: cacheRows, out, lse },
    params: { ...params, lse_stride: paddedCols(heads) },
    grid: [Math.ceil((q.rows * heads) / width), 1, 1],
    flops: 2 * productFlops(q, k, true),
  });
  return { out, lse };
}

/** Records the gradients of q, k and v; not for caches. */
export function attentionBackward(
  plan: PlanBuilder,
  { q, k, v, out, lse, dOut, segStart, segEnd }: AttentionInputs,
  options: AttentionOptions,
): { dq: TensorRef; dk: TensorRef; dv: TensorRef } {
  const { heads, kvHeads, headDim } = options;
  if (options.cached) throw new Error('attentionBackward: there is no backward pass through a cache.');
  const shared = sharedParams(options);
  checkShapes('attentionBackward', q, k, v, options);
  checkSameShape('attentionBackward', k, v);
  checkShape('attentionBackward', k, q.rows, k.cols);
  checkSameShape('attentionBackward', out, q);
  checkSameShape('attentionBackward', dOut, q);
  checkShape('attentionBackward', lse, q.rows, heads);
  const stats = plan.tensor('attention stats', q.rows, 2 * heads);
  const params = { ...shared, stat_stride: paddedCols(2 * heads) / 2 };
  plan.dispatch({
    kernel: { name: 'attention-delta' },
    bindings: { out, d_out: dOut, lse, stats },
    params: {
      heads,
      head4: headDim / 4,
      lse_stride: paddedCols(heads),
      stat_stride: params.stat_stride,
    },
    grid: flatGrid(q.rows * heads),
  });
  const dq = plan.tensor('attention dq', q.rows, q.cols);
  const shapeQ = kernelShape(plan, 'attention-backward-q', (q.rows * heads) / kvHeads, options);
  plan.dispatch({
    kernel: shapeQ.kernel,
    bindings: { q, k, v, d_out: dOut, stats, seg_start: segStart, dq },
    params,
    grid: shapeQ.grid,
    flops: 3 * productFlops(q, k, false),
  });
  const dk = plan.tensor('attention dk', k.rows, k.cols);
  const dv = plan.tensor('attention dv', k.rows, k.cols);
  const shapeKv = kernelShape(plan, 'attention-backward-kv', q.rows, options);
  plan.dispatch({
    kernel: shapeKv.kernel,
    bindings: { q, k, v, d_out: dOut, stats, seg_end: segEnd, dk, dv },
    params,
    grid: shapeKv.grid,
    flops: 4 * productFlops(q, k, false),
  });
  return { dq, dk, dv };
}

/** Small workgroups while there are few rows, so that they spread over the device; whole ones after that. */
function workgroup(rows: number): number {
  if (rows >= BLOCK * 32 * 128) return 32;
  return rows >= BLOCK * 16 * 128 ? 16 : 8;
}

/** The kernel and its grid for `rows` per key/value head: queries of its group, or keys. */
function kernelShape(
  plan: PlanBuilder,
  name: string,
  rows: number,
  { kvHeads, subgroups }: AttentionOptions,
): { kernel: KernelSpec; grid: [number, number, number] } {
  const { device } = plan.pool;
  const lanes = subgroupConstants(device);
  if (lanes && (subgroups ?? (loadsByLane(device) && rows >= FEW_ROWS))) {
    const constants = { LANES: Math.min(8, lanes.LANES), WIDTH: lanes.WIDTH };
    return {
      kernel: { name: `${name}-lanes`, constants },
      grid: [Math.ceil(rows / (BLOCK * lanes.WIDTH)), kvHeads, 1],
    };
  }
  return {
    kernel: { name, constants: { WG: workgroup(rows * kvHeads) } },
    grid: blockGrid(rows, kvHeads, rows * kvHeads),
  };
}

function blockGrid(rows: number, kvHeads: number, allRows: number): [number, number, number] {
  const groups = Math.ceil((Math.ceil(rows / BLOCK) * kvHeads) / workgroup(allRows));
  if (groups > 65535) throw new Error(`attention: ${groups} workgroups; split the batch.`);
  return [groups, 1, 1];
}

/** Operations of one product of queries with keys; half of the matrix, except over a cache. */
function productFlops(q: TensorRef, k: TensorRef, cached: boolean): number {
  return q.rows * k.rows * q.cols * (cached ? 2 : 1);
}

function sharedParams({ heads, kvHeads, headDim, scale, window }: AttentionOptions): Record<string, number> {
  if (headDim % 4 !== 0) throw new Error(`attention: headDim ${headDim} is not a multiple of 4.`);
  if (heads % kvHeads !== 0)
    throw new Error(`attention: ${heads} heads do not divide among ${kvHeads} key heads.`);
  return {
    group: heads / kvHeads,
    kv_heads: kvHeads,
    head4: headDim / 4,
    window: window ?? NO_WINDOW,
    scale,
  };
}

function checkShapes(
  op: string,
  q: TensorRef,
  k: TensorRef,
  v: TensorRef,
  { heads, kvHeads, headDim }: AttentionOptions,
): void {
  checkShape(op, q, q.rows, heads * headDim);
  checkShape(op, k, k.rows, kvHeads * headDim);
  checkSameShape(op, v, k);
}
