/**
 * Times the variants of both products on the device at hand and picks the fastest. All variants add in the same order and
 * give the same bits (src/engine/ops/gemm.test.ts), so the choice changes speed alone.
 */
import type { FloatDtype } from '../../formats/tensors.ts';
import { blockBytes } from '../model/packing.ts';
import type { PackedWeight } from '../model/weights.ts';
import { gemmBackward, gemmForward, variantsFor, type GemmVariant } from '../ops/gemm.ts';
import { createBatchBuffer, writeBatch } from './batch.ts';
import { BufferPool } from './buffers.ts';
import type { KernelCache } from './kernels.ts';
import { PlanBuilder } from './plan.ts';
import { SubmitPace, type Plan } from './plan-run.ts';
import type { Tuning } from './tuning.ts';

const REPEATS = 3;
const DISPATCHES = 4;

export interface TuningShape {
  rows: number;
  in: number;
  out: number;
  dtype: FloatDtype;
}

/** What one variant took, in milliseconds per product. */
export interface TuningSample {
  product: 'forward' | 'backward';
  variant: GemmVariant;
  milliseconds: number;
}

/** Measures all candidates on one shape, the model's largest product. */
export async function autotune(
  device: GPUDevice,
  kernels: KernelCache,
  shape: TuningShape,
): Promise<{ tuning: Tuning; samples: TuningSample[] }> {
  const pool = new BufferPool(device);
  const batch = createBatchBuffer(device);
  try {
    writeBatch(device, batch, { tokens: shape.rows, headRows: shape.rows });
    const samples: TuningSample[] = [];
    // The plain kernel never wins where blocks fit.
    const candidates = variantsFor(device).filter((variant) => variant !== 'naive');
    for (const product of ['forward', 'backward'] as const) {
      for (const variant of candidates) {
        const plan = await productPlan(pool, kernels, batch, shape, product, variant);
        samples.push({ product, variant, milliseconds: await fastest(device, plan) });
        plan.dispose();
      }
    }
    return {
      tuning: { forward: winner(samples, 'forward'), backward: winner(samples, 'backward') },
      samples,
    };
  } finally {
    pool[Symbol.dispose]();
    batch.destroy();
  }
}

async function productPlan(
  pool: BufferPool,
  kernels: KernelCache,
  batch: GPUBuffer,
  shape: TuningShape,
  product: TuningSample['product'],
  variant: GemmVariant,
): Promise<Plan> {
  const plan = new PlanBuilder(pool, kernels, batch);
  const bytes = Math.ceil(shape.out / 4) * Math.ceil(shape.in / 4) * blockBytes(shape.dtype);
  const part = { buffer: pool.create('tuning weight', bytes), firstOut: 0, outs: shape.out, bytes };
  const weight: PackedWeight = {
    name: 'tuning',
    dtype: shape.dtype,
    out: shape.out,
    in: shape.in,
    parts: [part],
  };
  const x = plan.tensor('x', shape.rows, shape.in);
  const y = plan.tensor('y', shape.rows, shape.out);
  for (let i = 0; i < DISPATCHES; i++) {
    if (product === 'forward') gemmForward(plan, { x, weight }, y, { variant });
    else gemmBackward(plan, { dy: y, weight, accumulate: false }, x, { variant });
  }
  return plan.build(`tune ${product} ${variant}`);
}

async function fastest(device: GPUDevice, plan: Plan): Promise<number> {
  // One submit each: the pace is set so high that nothing is cut.
  const pace = new SubmitPace();
  pace.flopsPerMs = Number.MAX_SAFE_INTEGER;
  let best = Infinity;
  for (let i = 0; i <= REPEATS; i++) {
    const started = performance.now();
    plan.run(pace);
    await device.queue.onSubmittedWorkDone();
    // The first run compiles on some drivers.
    if (i > 0) best = Math.min(best, (performance.now() - started) / DISPATCHES);
  }
  return best;
}

function winner(samples: readonly TuningSample[], product: TuningSample['product']): GemmVariant {
  const [best] = samples
    .filter((sample) => sample.product === product)
    .sort((a, b) => a.milliseconds - b.milliseconds);
  return best?.variant ?? '8x2';
}
