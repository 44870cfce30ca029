/** Which rows a row-wise kernel works on, and grids that are not bound to one row per workgroup. */

export interface RowOptions {
  /** Rows of the tensor for every row of the token axis: more than 1 where a row is one head of a token. */
  rowsPerToken?: number;
  /** What limits the rows in use: the tokens of the batch (the default), or the rows that reach the head. */
  rowsFrom?: 'tokens' | 'head';
}

/** The override and the `Params` field that every row-wise kernel has. */
export function rowLimits(options: RowOptions): {
  constants: { ROWS_FROM: number };
  params: { rows_per_token: number };
} {
  return {
    constants: { ROWS_FROM: options.rowsFrom === 'head' ? 1 : 0 },
    params: { rows_per_token: options.rowsPerToken ?? 1 },
  };
}

/** WebGPU's default limit of workgroups in one dimension. */
const MAX_GROUPS = 65535;

/** A grid of one invocation per item, folded into y where x would grow too long (see shaders/lib/flat.wgsl). */
export function flatGrid(items: number, workgroup = 64): [number, number, number] {
  const groups = Math.max(1, Math.ceil(items / workgroup));
  const y = Math.ceil(groups / MAX_GROUPS);
  return [Math.ceil(groups / y), y, 1];
}
