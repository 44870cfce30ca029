/** A linear layer as the model uses it: frozen product, bias, residual and, where adapted, LoRA. */
import type { PlanBuilder, TensorRef } from '../gpu/plan.ts';
import type { FrozenLinear } from '../model/weights.ts';
import { gemmBackward, gemmForward, type GemmOptions, type GemmVariant } from './gemm.ts';
import { loraDown, loraGradient, loraInputGradient, loraUpBackward, type AdapterSlot } from './lora.ts';

/** Picks the variant of a product; see src/engine/gpu/tuning.ts. */
export type PickVariant = (
  product: 'forward' | 'backward',
  rows: number,
  inSize: number,
  out: number,
) => GemmVariant;

export interface LinearContext {
  plan: PlanBuilder;
  pick: PickVariant;
  /** The adapter of a path, if it has one. */
  slot(path: string): AdapterSlot | null;
  /** Dropout on, and z kept for the backward pass. */
  training: boolean;
}

/** What the backward pass of an adapted layer needs from the forward pass. */
export interface LinearOutput {
  y: TensorRef;
  z: TensorRef | null;
}

/** Records the forward pass: [tokens, in] to [tokens, out]. */
export function linearForward(
  ctx: LinearContext,
  layer: FrozenLinear,
  x: TensorRef,
  residual?: TensorRef,
): LinearOutput {
  const slot = ctx.slot(layer.path);
  const z = slot ? loraDown(ctx.plan, x, slot, { training: ctx.training }) : null;
  const y = ctx.plan.tensor(layer.path, x.rows, layer.spec.out);
  const options: GemmOptions = { variant: ctx.pick('forward', x.rows, layer.spec.in, layer.spec.out) };
  const lora = slot && z ? { slot, z } : null;
  gemmForward(
    ctx.plan,
    { x, weight: layer.weight, bias: layer.bias, lora, ...(residual ? { residual } : {}) },
    y,
    options,
  );
  return { y, z };
}

export interface LinearGradient {
  dy: TensorRef;
  /** The input of the forward pass, for the gradient of A. */
  x: TensorRef;
  z: TensorRef | null;
  /** Where the gradient of the input goes; null when nothing below needs it. */
  dx: TensorRef | null;
  accumulate: boolean;
}

/** Records the gradients of the adapter and, unless `dx` is null, of the input. */
export function linearBackward(ctx: LinearContext, layer: FrozenLinear, gradient: LinearGradient): void {
  const { dy, x, z, dx, accumulate } = gradient;
  const slot = ctx.slot(layer.path);
  let lora: { slot: AdapterSlot; dz: TensorRef } | null = null;
  if (slot && z) {
    const dz = ctx.plan.tensor(`${layer.path} dz`, dy.rows, slot.rank4 * 4);
    loraUpBackward(ctx.plan, dy, slot, dz);
    loraGradient(ctx.plan, { p: dy, q: z, c: slot.gradB, scale: slot.scale, slot }, { dropout: false });
    loraGradient(ctx.plan, { p: dz, q: x, c: slot.gradA, scale: 1, slot }, { dropout: true });
    lora = { slot, dz };
  }
  if (!dx) return;
  const variant = ctx.pick('backward', dy.rows, layer.spec.in, layer.spec.out);
  // A mask on the adapter's part alone cannot ride in the product's epilogue.
  const masked = lora?.slot.dropout ? lora : null;
  gemmBackward(ctx.plan, { dy, weight: layer.weight, lora: masked ? null : lora, accumulate }, dx, {
    variant,
  });
  if (masked) loraInputGradient(ctx.plan, masked.dz, masked.slot, dx);
}
