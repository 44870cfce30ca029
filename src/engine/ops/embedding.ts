/** Rows of a packed weight by token id or position. */
import { externalWords, paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { FORMAT_OF } from '../model/packing.ts';
import type { PackedWeight } from '../model/weights.ts';
import { rowGrid } from './shapes.ts';

/** Records `out (+)= weight[ids]`: ids are words [tokens], out is [tokens, hidden]. */
export function embedding(
  plan: PlanBuilder,
  ids: TensorRef,
  weight: PackedWeight,
  out: TensorRef,
  accumulate = false,
): void {
  if (out.cols !== weight.in)
    throw new Error(`embedding: ${weight.name} has ${weight.in} columns, ${out.label} has ${out.cols}.`);
  for (const part of weight.parts) {
    plan.dispatch({
      kernel: {
        name: 'embedding',
        constants: { FORMAT: FORMAT_OF[weight.dtype], ACCUMULATE: accumulate ? 1 : 0 },
      },
      bindings: { ids, weight: externalWords(weight.name, part.buffer, part.bytes / 4), out },
      params: partParams(weight, part),
      grid: rowGrid(out.rows, out.cols),
    });
  }
}

/** What the kernels that look single rows up need to know of a part. */
export function partParams(
  weight: PackedWeight,
  part: PackedWeight['parts'][number],
): { in4: number; out4: number; first_out: number; outs: number } {
  return {
    in4: paddedCols(weight.in) / 4,
    out4: Math.ceil(part.outs / 4),
    first_out: part.firstOut,
    outs: part.outs,
  };
}
