/**
 * The output head without logits: log-probabilities of the targets and the gradient of the last hidden state, tile by
 * tile over the vocabulary. For a frozen head one pass is enough, because Σ softmax W is itself a running sum
 * (as in flash attention, with the vocabulary for keys); `c` is needed only after it (engine.md section 5).
 */
import { externalWords, paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { FORMAT_OF } from '../model/packing.ts';
import type { PackedWeight } from '../model/weights.ts';
import { partParams } from './embedding.ts';
import { gemmBackward, gemmForward, type OutRange } from './gemm.ts';
import type { PickVariant } from './linear.ts';
import type { AdapterSlot } from './lora.ts';
import { rowGrid } from './shapes.ts';

/** Outputs per tile; half the vocabulary at most, so that nothing of size [tokens, vocabulary] exists. */
const LARGEST_TILE = 4096;

/** The tiles of a vocabulary. */
export function vocabularyTiles(vocabSize: number): OutRange[] {
  const tile = Math.min(LARGEST_TILE, Math.max(64, Math.ceil(vocabSize / 2 / 64) * 64));
  const tiles: OutRange[] = [];
  for (let firstOut = 0; firstOut < vocabSize; firstOut += tile) {
    tiles.push({ firstOut, outs: Math.min(tile, vocabSize - firstOut) });
  }
  return tiles;
}

export interface HeadInputs {
  /** Normalised hidden states of the rows that count: [head rows, hidden]. */
  h: TensorRef;
  weight: PackedWeight;
  /** Words [head rows]. */
  targets: TensorRef;
  /** The adapter of the head, with its z, if it has one. */
  lora: { slot: AdapterSlot; z: TensorRef } | null;
  pick: PickVariant;
}

export interface HeadOutput {
  /** [1, head rows] */
  logprob: TensorRef;
  /** [head rows, 4]: max, sum, target's logit, factor. */
  state: TensorRef;
  /** Σ_v exp(logit_v - max) W_v, [head rows, hidden]; only with a gradient. */
  weighted: TensorRef | null;
}

/** Records one vocabulary tile's logits. */
export function headTile(plan: PlanBuilder, inputs: HeadInputs, range: OutRange): TensorRef {
  const { h, weight, lora, pick } = inputs;
  const logits = plan.tensor('head logits', h.rows, range.outs);
  const variant = pick('forward', h.rows, weight.in, range.outs);
  gemmForward(plan, { x: h, weight, lora, range }, logits, { variant, headRows: true });
  return logits;
}

/** Records the log-probabilities of the targets and, with `gradient`, the running sum that the gradient needs. */
export function headForward(plan: PlanBuilder, inputs: HeadInputs, gradient: boolean): HeadOutput {
  const { h, weight, targets } = inputs;
  const state = plan.tensor('head state', h.rows, 4);
  const logprob = plan.tensor('head logprob', 1, h.rows);
  const weighted = gradient ? plan.tensor('head weighted', h.rows, weight.in) : null;
  vocabularyTiles(weight.out).forEach((range, index) => {
    const logits = headTile(plan, inputs, range);
    plan.dispatch({
      kernel: { name: 'head-softmax', constants: { GRADIENT: gradient ? 1 : 0 } },
      bindings: { targets, logits, state, logprob },
      params: {
        cols: range.outs,
        cols4: paddedCols(range.outs) / 4,
        first_out: range.firstOut,
        first_tile: index === 0 ? 1 : 0,
      },
      grid: [Math.ceil(h.rows / 32), 1, 1],
    });
    if (!weighted) return;
    const variant = inputs.pick('backward', h.rows, weight.in, range.outs);
    const accumulate = index > 0;
    const product = { dy: logits, weight, range, accumulate, ...(accumulate ? { rowScale: state } : {}) };
    gemmBackward(plan, product, weighted, { variant, headRows: true });
  });
  return { logprob, state, weighted };
}

/** Records `dh` of a frozen head, in place of the running sum. `coefficient` is dLoss/dlogprob, float words [head rows]. */
export function headGradient(
  plan: PlanBuilder,
  inputs: HeadInputs,
  output: HeadOutput,
  coefficient: TensorRef,
): TensorRef {
  const { weight, targets } = inputs;
  const { state, weighted: dh } = output;
  if (!dh) throw new Error('headGradient: the forward pass kept no sums.');
  for (const part of weight.parts) {
    plan.dispatch({
      kernel: { name: 'head-gradient', constants: { FORMAT: FORMAT_OF[weight.dtype] } },
      bindings: {
        targets,
        coefficient,
        state,
        weight: externalWords(weight.name, part.buffer, part.bytes / 4),
        dh,
      },
      params: partParams(weight, part),
      grid: rowGrid(dh.rows, dh.cols),
    });
  }
  return dh;
}

/** Records `out[i] = x[rows[i]]`, the rows that reach the head. */
export function gatherRows(plan: PlanBuilder, x: TensorRef, rows: TensorRef, count: number): TensorRef {
  const out = plan.tensor('head rows', count, x.cols);
  const params = { cols4: paddedCols(x.cols) / 4 };
  plan.dispatch({
    kernel: { name: 'gather-rows' },
    bindings: { x, rows, out },
    params,
    grid: rowGrid(count, x.cols),
  });
  return out;
}

/** Records the way back: all of `out` zero, then `out[rows[i]] = x[i]`. */
export function scatterRows(plan: PlanBuilder, x: TensorRef, rows: TensorRef, out: TensorRef): void {
  plan.clear(out);
  const params = { cols4: paddedCols(x.cols) / 4 };
  plan.dispatch({
    kernel: { name: 'scatter-rows' },
    bindings: { x, rows, out },
    params,
    grid: rowGrid(x.rows, x.cols),
  });
}
