/**
 * Products with a frozen weight, forward and backward, in several register-blocked variants that give the same bits.
 * Which variant runs is the tuner's choice (src/engine/gpu/tuning.ts); the LoRA term is an epilogue of the same pass.
 */
import { subgroupConstants } from '../gpu/device.ts';
import { paddedCols, externalWords, type PlanBuilder, type TensorRef } from '../gpu/plan.ts';
import { FORMAT_OF } from '../model/packing.ts';
import type { PackedWeight } from '../model/weights.ts';
import type { AdapterSlot } from './lora.ts';

/**
 * Rows x blocks of 4 columns that one invocation computes, and the workgroup: as written in the kernel's file. Where
 * `subgroups`, the rows are handed around in the subgroup, and a workgroup is one row as wide as the device's subgroups.
 */
export const GEMM_VARIANTS = {
  '8x2': { rows: 8, blocks: 2, width: 8, height: 4, subgroups: false },
  '4x4': { rows: 4, blocks: 4, width: 8, height: 4, subgroups: false },
  '4x2': { rows: 4, blocks: 2, width: 8, height: 8, subgroups: false },
  '16x1': { rows: 16, blocks: 1, width: 8, height: 1, subgroups: true },
  naive: { rows: 1, blocks: 1, width: 8, height: 8, subgroups: false },
} as const;

export type GemmVariant = keyof typeof GEMM_VARIANTS;

/** The variants that a device can run. */
export function variantsFor(device: GPUDevice): GemmVariant[] {
  const all = Object.keys(GEMM_VARIANTS) as GemmVariant[];
  return all.filter((variant) => !GEMM_VARIANTS[variant].subgroups || subgroupConstants(device) !== null);
}

/** What all products of a plan agree on. */
export interface GemmOptions {
  variant: GemmVariant;
  /** Rows are those that reach the head instead of the tokens. */
  headRows?: boolean;
}

/** The constants of a variant's kernel and its grid over `rows` by `blocks`. */
function gemmShape(
  device: GPUDevice,
  variant: GemmVariant,
  rows: number,
  blocks: number,
): { constants: Record<string, number>; grid: [number, number, number] } {
  const tile = GEMM_VARIANTS[variant];
  const rowGroups = Math.ceil(rows / (tile.height * tile.rows));
  if (!tile.subgroups)
    return { constants: {}, grid: [Math.ceil(blocks / (tile.width * tile.blocks)), rowGroups, 1] };
  const constants = subgroupConstants(device);
  if (!constants) throw new Error(`gemm: this device has no subgroups for ${variant}.`);
  // Rows first: neighbouring workgroups then read the same blocks of the weight.
  return { constants, grid: [rowGroups, Math.ceil(blocks / constants.WIDTH), 1] };
}

/** A run of outputs inside one part of a packed weight. */
interface Slice {
  weight: TensorRef;
  /** Blocks of outputs in the part's buffer, the first one meant, and how many. */
  stride4: number;
  first4: number;
  count4: number;
  /** The first output meant, counted over the whole weight. */
  firstOut: number;
}

/** Outputs of a weight: the tiles of the head. `firstOut` is a multiple of 4. */
export interface OutRange {
  firstOut: number;
  outs: number;
}

/** The slices of a weight that hold a range of outputs. */
function slicesOf(weight: PackedWeight, range: OutRange): Slice[] {
  const end = range.firstOut + range.outs;
  return weight.parts.flatMap(({ buffer, firstOut, outs, bytes }) => {
    const from = Math.max(firstOut, range.firstOut);
    const to = Math.min(firstOut + outs, end);
    if (from >= to) return [];
    return {
      weight: externalWords(weight.name, buffer, bytes / 4),
      stride4: Math.ceil(outs / 4),
      first4: (from - firstOut) / 4,
      count4: Math.ceil((to - from) / 4),
      firstOut: from,
    };
  });
}

export interface ForwardInputs {
  x: TensorRef;
  weight: PackedWeight;
  bias?: TensorRef | null;
  residual?: TensorRef;
  /** The adapter with its `z = dropout(x) Aᵀ`. */
  lora?: { slot: AdapterSlot; z: TensorRef } | null;
  /** The outputs to compute; all by default. */
  range?: OutRange;
}

/** Records `y = x Wᵀ + bias + residual + scale z Bᵀ`; y is [rows of x, outputs in range]. */
export function gemmForward(
  plan: PlanBuilder,
  inputs: ForwardInputs,
  y: TensorRef,
  options: GemmOptions,
): void {
  const { x, weight, bias, residual, lora } = inputs;
  const range = inputs.range ?? { firstOut: 0, outs: weight.out };
  if (x.cols !== weight.in || y.cols !== range.outs || y.rows !== x.rows) {
    throw new Error(
      `gemmForward: [${x.rows}, ${x.cols}] by ${weight.name} [${range.outs}, ${weight.in}] into [${y.rows}, ${y.cols}].`,
    );
  }
  for (const slice of slicesOf(weight, range)) {
    const { constants, grid } = gemmShape(plan.pool.device, options.variant, x.rows, slice.count4);
    plan.dispatch({
      kernel: {
        name: `gemm-forward-${options.variant}`,
        constants: { FORMAT: FORMAT_OF[weight.dtype], ...constants },
      },
      // A binding that is not used still needs a buffer: the input, which is only read.
      bindings: {
        x,
        weight: slice.weight,
        bias: bias ?? x,
        residual: residual ?? x,
        z: lora ? lora.z : x,
        lora_b: lora ? lora.slot.b : x,
        y,
      },
      params: {
        in4: Math.ceil(weight.in / 4),
        out4: slice.count4,
        weight_stride4: slice.stride4,
        weight_first: slice.first4,
        out_first: slice.firstOut / 4,
        y_stride4: paddedCols(range.outs) / 4,
        y_first: (slice.firstOut - range.firstOut) / 4,
        rank4: lora ? lora.slot.rank4 : 0,
        scale: lora ? lora.slot.scale : 0,
        has_bias: bias ? 1 : 0,
        has_residual: residual ? 1 : 0,
        head_rows: options.headRows ? 1 : 0,
      },
      grid,
      flops: 2 * x.rows * slice.count4 * 4 * weight.in,
    });
  }
}

export interface BackwardInputs {
  /** [rows, outputs in range] */
  dy: TensorRef;
  weight: PackedWeight;
  lora?: { slot: AdapterSlot; dz: TensorRef } | null;
  /** Add to dx instead of setting it. */
  accumulate: boolean;
  /** With `accumulate`: [rows, 4], whose last column multiplies dx first. */
  rowScale?: TensorRef;
  range?: OutRange;
}

/** Records `dx (+)= dy W + dz A`; dx is [rows of dy, in]. */
export function gemmBackward(
  plan: PlanBuilder,
  inputs: BackwardInputs,
  dx: TensorRef,
  options: GemmOptions,
): void {
  const { dy, weight, rowScale } = inputs;
  const range = inputs.range ?? { firstOut: 0, outs: weight.out };
  if (dy.cols !== range.outs || dx.cols !== weight.in || dx.rows !== dy.rows) {
    throw new Error(
      `gemmBackward: [${dy.rows}, ${dy.cols}] by ${weight.name} [${range.outs}, ${weight.in}] into [${dx.rows}, ${dx.cols}].`,
    );
  }
  const in4 = Math.ceil(weight.in / 4);
  const { constants, grid } = gemmShape(plan.pool.device, options.variant, dy.rows, in4);
  slicesOf(weight, range).forEach((slice, order) => {
    // The adapter's part goes in once, with the first slice of the weight.
    const lora = order === 0 ? inputs.lora : null;
    plan.dispatch({
      kernel: {
        name: `gemm-backward-${options.variant}`,
        constants: { FORMAT: FORMAT_OF[weight.dtype], ...constants },
      },
      bindings: {
        dy,
        weight: slice.weight,
        dz: lora ? lora.dz : dy,
        lora_a: lora ? lora.slot.a : dy,
        row_scale: rowScale ?? dy,
        dx,
      },
      params: {
        in4,
        out4: slice.count4,
        weight_stride4: slice.stride4,
        weight_first: slice.first4,
        dy_stride4: paddedCols(range.outs) / 4,
        dy_first: (slice.firstOut - range.firstOut) / 4,
        rank4: lora ? lora.slot.rank4 : 0,
        accumulate: inputs.accumulate || order > 0 ? 1 : 0,
        rescale: rowScale && order === 0 ? 1 : 0,
        head_rows: options.headRows ? 1 : 0,
      },
      grid,
      flops: 2 * dy.rows * slice.count4 * 4 * weight.in,
    });
  });
}
