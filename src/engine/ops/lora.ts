/**
 * The thin products of LoRA (Hu et al. 2021, arXiv 2106.09685), derived by hand: for z = dropout(x) Aᵀ and s = alpha / r,
 * dz = s dy B, dB = s dyᵀ z, dA = dzᵀ dropout(x). The wide products live in the epilogues of gemm.ts.
 */
import { paddedCols, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';

/** One adapted linear layer: its factors and gradients inside the flat buffers, padded to blocks of 4. */
export interface AdapterSlot {
  /** Number of the module in the adapter: keys its dropout. */
  index: number;
  path: string;
  /** Blocks of 4 in the padded rank. */
  rank4: number;
  /** alpha / rank, or alpha / sqrt(rank). */
  scale: number;
  /** [padded rank, in] and [padded out, padded rank]. */
  a: TensorRef;
  b: TensorRef;
  gradA: TensorRef;
  gradB: TensorRef;
  dropout: { threshold: number; keepScale: number } | null;
}

/** The kernel's view of a dropout probability; null when there is none. */
export function dropoutConstants(probability: number): AdapterSlot['dropout'] {
  if (probability === 0) return null;
  return {
    threshold: Math.min(0xffffffff, Math.round(probability * 2 ** 32)),
    keepScale: 1 / (1 - probability),
  };
}

/** Tokens per slice of a split gradient; enough slices keep a GPU busy, few enough keep the partial sums small. */
const SLICE = 128;

export interface LoraOptions {
  headRows?: boolean;
  /** False leaves dropout out: evaluation and generation. */
  training: boolean;
}

function dropoutParams(
  slot: AdapterSlot,
  on: boolean,
): { layer_id: number; threshold: number; keep_scale: number } {
  return {
    layer_id: slot.index,
    threshold: on ? (slot.dropout?.threshold ?? 0) : 0,
    keep_scale: on ? (slot.dropout?.keepScale ?? 1) : 1,
  };
}

/** Records `z = dropout(x) Aᵀ`: [tokens, padded rank]. */
export function loraDown(
  plan: PlanBuilder,
  x: TensorRef,
  slot: AdapterSlot,
  options: LoraOptions,
): TensorRef {
  const z = plan.tensor(`${slot.path} z`, x.rows, slot.rank4 * 4);
  const dropout = options.training && slot.dropout !== null;
  plan.dispatch({
    kernel: {
      name: 'lora-down',
      constants: {
        IN4: paddedCols(x.cols) / 4,
        RANK4: slot.rank4,
        DROPOUT: dropout ? 1 : 0,
        HEAD_ROWS: options.headRows ? 1 : 0,
      },
    },
    bindings: { x, lora_a: slot.a, z },
    params: dropoutParams(slot, dropout),
    grid: [Math.ceil(x.rows / 4 / 32), slot.rank4, 1],
    flops: 2 * x.rows * x.cols * slot.rank4 * 4,
  });
  return z;
}

/** Records `dz = scale dy B`; with `firstOut` dy covers B's rows from there on, and the result adds up over parts. */
export function loraUpBackward(
  plan: PlanBuilder,
  dy: TensorRef,
  slot: AdapterSlot,
  dz: TensorRef,
  options: { headRows?: boolean; firstOut?: number; accumulate?: boolean } = {},
): void {
  plan.dispatch({
    kernel: {
      name: 'lora-up-backward',
      constants: {
        OUT4: paddedCols(dy.cols) / 4,
        RANK4: slot.rank4,
        ACCUMULATE: options.accumulate ? 1 : 0,
        HEAD_ROWS: options.headRows ? 1 : 0,
      },
    },
    bindings: { dy, lora_b: slot.b, dz },
    params: { scale: slot.scale, first_block: (options.firstOut ?? 0) / 4 },
    grid: [Math.ceil(dy.rows / 4 / 32), slot.rank4, 1],
    flops: 2 * dy.rows * dy.cols * slot.rank4 * 4,
  });
}

/** Records `c += scale Σ_t p[t]ᵀ q[t]`, with q under the slot's dropout mask where `dropout` says so. */
export function loraGradient(
  plan: PlanBuilder,
  { p, q, c, scale, slot }: { p: TensorRef; q: TensorRef; c: TensorRef; scale: number; slot: AdapterSlot },
  options: { dropout: boolean; headRows?: boolean },
): void {
  const p4 = paddedCols(p.cols) / 4;
  const q4 = paddedCols(q.cols) / 4;
  const slices = options.headRows ? 1 : Math.ceil(p.rows / SLICE);
  const split = slices > 1;
  const target = split ? plan.tensor(`${slot.path} partial`, slices * p4 * 4, q4 * 4) : c;
  const dropout = options.dropout && slot.dropout !== null;
  plan.dispatch({
    kernel: {
      name: 'lora-gradient',
      constants: {
        P4: p4,
        Q4: q4,
        SLICE: split ? SLICE : p.rows,
        SPLIT: split ? 1 : 0,
        DROPOUT: dropout ? 1 : 0,
        HEAD_ROWS: options.headRows ? 1 : 0,
      },
    },
    bindings: { p, q, c: target },
    params: { scale, ...dropoutParams(slot, dropout) },
    grid: [Math.ceil(q4 / 8), Math.ceil(p4 / 8), slices],
    flops: 2 * p.rows * p.cols * q.cols,
  });
  if (!split) return;
  plan.dispatch({
    kernel: { name: 'lora-gradient-reduce', constants: { COUNT4: p4 * 4 * q4, SLICE } },
    bindings: { partial: target, c },
    params: { scale },
    grid: [Math.ceil((p4 * 4 * q4) / 64), 1, 1],
  });
}

/** Records `dx += mask * (dz A)`: the adapter's part of the input gradient where dropout keeps it out of the product's epilogue. */
export function loraInputGradient(
  plan: PlanBuilder,
  dz: TensorRef,
  slot: AdapterSlot,
  dx: TensorRef,
  options: { headRows?: boolean } = {},
): void {
  const in4 = paddedCols(dx.cols) / 4;
  plan.dispatch({
    kernel: {
      name: 'lora-input-gradient',
      constants: { IN4: in4, RANK4: slot.rank4, HEAD_ROWS: options.headRows ? 1 : 0 },
    },
    bindings: { dz, lora_a: slot.a, dx },
    params: dropoutParams(slot, true),
    grid: [Math.ceil(in4 / 64), dx.rows, 1],
    flops: 2 * dx.rows * dx.cols * slot.rank4 * 4,
  });
}
