/** Shape checks and grids that all ops share. */
import { paddedCols, type TensorRef } from '../gpu/plan.ts';

/** Throws unless both have the same rows and columns. */
export function checkSameShape(op: string, a: TensorRef, b: TensorRef): void {
  if (a.rows !== b.rows || a.cols !== b.cols) {
    throw new Error(`${op}: ${a.label} is [${a.rows}, ${a.cols}], ${b.label} is [${b.rows}, ${b.cols}].`);
  }
}

/** Throws unless the tensor has exactly this shape. */
export function checkShape(op: string, ref: TensorRef, rows: number, cols: number): void {
  if (ref.rows !== rows || ref.cols !== cols) {
    throw new Error(`${op}: ${ref.label} is [${ref.rows}, ${ref.cols}], expected [${rows}, ${cols}].`);
  }
}

/** Workgroups of 64 vec4s along a row, one row per y: the grid of elementwise kernels. */
export function rowGrid(rows: number, cols: number, workgroup = 64): [number, number, number] {
  return [Math.ceil(paddedCols(cols) / 4 / workgroup), rows, 1];
}
