/** CPU twin of shaders/copy-columns.wgsl. */

/** A run of columns of a row-major matrix: where it begins, and how wide the matrix is. */
export interface ColumnRun {
  values: Float32Array;
  cols: number;
  first: number;
}

/** `to[:, to.first + c] = from[:, from.first + c]` for `count` columns, in place. */
export function copyColumnsReference(from: ColumnRun, to: ColumnRun, rows: number, count: number): void {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < count; c++)
      to.values[r * to.cols + to.first + c] = from.values[r * from.cols + from.first + c] ?? NaN;
  }
}
