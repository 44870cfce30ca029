/** The gradient of an adapted head: B's gradient needs the finished softmax, so the tiles are computed a second time. */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { gemmBackward } from './gemm.ts';
import { headTile, vocabularyTiles, type HeadInputs, type HeadOutput } from './head.ts';
import { loraGradient, loraInputGradient, loraUpBackward } from './lora.ts';

/** Rows `[first, first + count)` of a tensor that lies in somebody's buffer. */
function rowsOf(ref: TensorRef, first: number, count: number): TensorRef {
  if (!('buffer' in ref.place)) throw new Error(`${ref.label} is not in a buffer of its own.`);
  const rowBytes = paddedCols(ref.cols) * 4;
  return {
    ...ref,
    rows: count,
    bytes: count * rowBytes,
    place: { ...ref.place, offset: ref.place.offset + first * rowBytes },
  };
}

/** Records the gradients of the head's adapter and returns `dh` [head rows, hidden]. */
export function headLoraGradient(
  plan: PlanBuilder,
  inputs: HeadInputs,
  output: HeadOutput,
  coefficient: TensorRef,
): TensorRef {
  const { h, weight, targets, lora, pick } = inputs;
  if (!lora) throw new Error('headLoraGradient: the head has no adapter.');
  const { slot, z } = lora;
  const dh = plan.tensor('head dh', h.rows, h.cols);
  const dz = plan.tensor('head dz', h.rows, slot.rank4 * 4);
  vocabularyTiles(weight.out).forEach((range, index) => {
    const dLogits = headTile(plan, inputs, range);
    const cols4 = paddedCols(range.outs) / 4;
    plan.dispatch({
      kernel: { name: 'head-dlogits' },
      bindings: { targets, coefficient, state: output.state, logits: dLogits },
      params: { cols: range.outs, cols4, first_out: range.firstOut },
      grid: [Math.ceil(cols4 / 64), h.rows, 1],
    });
    loraUpBackward(plan, dLogits, slot, dz, {
      headRows: true,
      firstOut: range.firstOut,
      accumulate: index > 0,
    });
    const gradB = rowsOf(slot.gradB, range.firstOut, cols4 * 4);
    loraGradient(
      plan,
      { p: dLogits, q: z, c: gradB, scale: slot.scale, slot },
      { dropout: false, headRows: true },
    );
    const variant = pick('backward', h.rows, weight.in, range.outs);
    gemmBackward(plan, { dy: dLogits, weight, range, accumulate: index > 0 }, dh, {
      variant,
      headRows: true,
    });
  });
  loraGradient(plan, { p: dz, q: h, c: slot.gradA, scale: 1, slot }, { dropout: true, headRows: true });
  loraInputGradient(plan, dz, slot, dh, { headRows: true });
  return dh;
}
