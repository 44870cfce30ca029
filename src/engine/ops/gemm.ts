/**
 * Products with a frozen weight, forward and backward, in several register-blocked variants that give the same bits.
 * Which variant runs is the tuner's choice (src/engine/gpu/tuning.ts); the LoRA term is an epilogue of the same pass.
 */
import { paddedCols, externalWords, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { FORMAT_OF } from '../model/packing.ts';
import type { PackedWeight } from '../model/weights.ts';
import type { AdapterSlot } from './lora.ts';

/** Rows x blocks of 4 columns that one invocation computes, and the workgroup: as written in the kernel's file. */
export const GEMM_VARIANTS = {
  '8x2': { rows: 8, blocks: 2, width: 8, height: 4 },
  '4x4': { rows: 4, blocks: 4, width: 8, height: 4 },
  '4x2': { rows: 4, blocks: 2, width: 8, height: 8 },
  naive: { rows: 1, blocks: 1, width: 8, height: 8 },
} as const;

export type GemmVariant = keyof typeof GEMM_VARIANTS;

/** What all products of a plan agree on. */
export interface GemmOptions {
  variant: GemmVariant;
  /** Rows are those that reach the head instead of the tokens. */
  headRows?: boolean;
}

export interface ForwardInputs {
  x: TensorRef;
  weight: PackedWeight;
  bias?: TensorRef | null;
  residual?: TensorRef;
  /** The adapter with its `z = dropout(x) Aᵀ`. */
  lora?: { slot: AdapterSlot; z: TensorRef } | null;
  /** Compute only these parts of the weight (indices); all by default. */
  part?: number;
}

function gemmGrid(variant: GemmVariant, rows: number, blocks: number): [number, number, number] {
  const tile = GEMM_VARIANTS[variant];
  return [Math.ceil(blocks / (tile.width * tile.blocks)), Math.ceil(rows / (tile.height * tile.rows)), 1];
}

/** One part of a packed weight as a tensor of raw words. */
export function weightPart(
  weight: PackedWeight,
  part: number,
): TensorRef & { firstOut: number; outs: number } {
  const entry = weight.parts[part];
  if (!entry) throw new Error(`${weight.name} has no part ${part}.`);
  const { firstOut, outs, buffer, bytes } = entry;
  return { ...externalWords(weight.name, buffer, bytes / 4), firstOut, outs };
}

/** Records `y = x Wᵀ + bias + residual + scale z Bᵀ`; y is [rows of x, out]. */
export function gemmForward(
  plan: PlanBuilder,
  inputs: ForwardInputs,
  y: TensorRef,
  options: GemmOptions,
): void {
  const { x, weight, bias, residual, lora } = inputs;
  const outs = inputs.part === undefined ? weight.out : weightPart(weight, inputs.part).outs;
  if (x.cols !== weight.in || y.cols !== outs || y.rows !== x.rows) {
    throw new Error(
      `gemmForward: [${x.rows}, ${x.cols}] by ${weight.name} [${outs}, ${weight.in}] into [${y.rows}, ${y.cols}].`,
    );
  }
  const parts = inputs.part === undefined ? weight.parts.map((_, index) => index) : [inputs.part];
  for (const index of parts) {
    const part = weightPart(weight, index);
    const blocks = Math.ceil(part.outs / 4);
    plan.dispatch({
      kernel: {
        name: `gemm-forward-${options.variant}`,
        constants: { FORMAT: FORMAT_OF[weight.dtype] },
      },
      // A binding that is not used still needs a buffer: the input, which is only read.
      bindings: {
        x,
        weight: part,
        bias: bias ?? x,
        residual: residual ?? x,
        z: lora ? lora.z : x,
        lora_b: lora ? lora.slot.b : x,
        y,
      },
      params: {
        in4: Math.ceil(weight.in / 4),
        out4: blocks,
        first_block: inputs.part === undefined ? part.firstOut / 4 : 0,
        stride4: paddedCols(outs) / 4,
        rank4: lora ? lora.slot.rank4 : 0,
        scale: lora ? lora.slot.scale : 0,
        has_bias: bias ? 1 : 0,
        has_residual: residual ? 1 : 0,
        head_rows: options.headRows ? 1 : 0,
      },
      grid: gemmGrid(options.variant, x.rows, blocks),
      flops: 2 * x.rows * part.outs * weight.in,
    });
  }
}

export interface BackwardInputs {
  dy: TensorRef;
  weight: PackedWeight;
  lora?: { slot: AdapterSlot; dz: TensorRef } | null;
  /** Add to dx instead of setting it. */
  accumulate: boolean;
  /** With `accumulate`: [rows, 4], whose last column multiplies dx first. */
  rowScale?: TensorRef;
  part?: number;
}

/** Records `dx (+)= dy W + dz A`; dx is [rows of dy, in]. */
export function gemmBackward(
  plan: PlanBuilder,
  inputs: BackwardInputs,
  dx: TensorRef,
  options: GemmOptions,
): void {
  const { dy, weight, rowScale } = inputs;
  const outs = inputs.part === undefined ? weight.out : weightPart(weight, inputs.part).outs;
  if (dy.cols !== outs || dx.cols !== weight.in || dx.rows !== dy.rows) {
    throw new Error(
      `gemmBackward: [${dy.rows}, ${dy.cols}] by ${weight.name} [${outs}, ${weight.in}] into [${dx.rows}, ${dx.cols}].`,
    );
  }
  const parts = inputs.part === undefined ? weight.parts.map((_, index) => index) : [inputs.part];
  parts.forEach((index, order) => {
    const part = weightPart(weight, index);
    // The adapter's part goes in once, with the first slice of the weight.
    const lora = order === 0 ? inputs.lora : null;
    plan.dispatch({
      kernel: {
        name: `gemm-backward-${options.variant}`,
        constants: { FORMAT: FORMAT_OF[weight.dtype] },
      },
      bindings: {
        dy,
        weight: part,
        dz: lora ? lora.dz : dy,
        lora_a: lora ? lora.slot.a : dy,
        row_scale: rowScale ?? dy,
        dx,
      },
      params: {
        in4: Math.ceil(weight.in / 4),
        out4: Math.ceil(part.outs / 4),
        first_block: inputs.part === undefined ? part.firstOut / 4 : 0,
        stride4: paddedCols(outs) / 4,
        rank4: lora ? lora.slot.rank4 : 0,
        accumulate: inputs.accumulate || order > 0 ? 1 : 0,
        rescale: rowScale && order === 0 ? 1 : 0,
        head_rows: options.headRows ? 1 : 0,
      },
      grid: gemmGrid(options.variant, dy.rows, Math.ceil(weight.in / 4)),
      flops: 2 * dy.rows * part.outs * weight.in,
    });
  });
}
