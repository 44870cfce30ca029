/** Columns of one matrix into another: GPT-2 keeps q, k and v in one product, attention wants them apart. */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { rowGrid } from './shapes.ts';

/** Records `to[:, toCol : toCol + cols] = from[:, fromCol : fromCol + cols]`; all counts are multiples of 4. */
export function copyColumns(
  plan: PlanBuilder,
  {
    from,
    fromCol,
    to,
    toCol,
    cols,
  }: { from: TensorRef; fromCol: number; to: TensorRef; toCol: number; cols: number },
): void {
  if ([fromCol, toCol, cols].some((count) => count % 4 !== 0))
    throw new Error(`copyColumns: ${fromCol}, ${toCol}, ${cols}.`);
  if (from.rows !== to.rows || fromCol + cols > from.cols || toCol + cols > to.cols) {
    throw new Error(`copyColumns: [${from.rows}, ${from.cols}] into [${to.rows}, ${to.cols}].`);
  }
  plan.dispatch({
    kernel: { name: 'copy-columns' },
    bindings: { source: from, destination: to },
    params: {
      cols4: cols / 4,
      source_stride4: paddedCols(from.cols) / 4,
      source_first: fromCol / 4,
      target_stride4: paddedCols(to.cols) / 4,
      target_first: toCol / 4,
    },
    grid: rowGrid(from.rows, cols),
  });
}
