/** Chooses the variant of a product for its shape: few rows take the plain kernel, many the measured winner. */
import { variantsFor, type GemmVariant } from '../ops/gemm.ts';
import type { PickVariant } from '../ops/linear.ts';
import { loadsByLane } from './device.ts';

/** Winners of the autotuner by product; all variants give the same bits, so a choice never changes a result. */
export interface Tuning {
  forward: GemmVariant;
  backward: GemmVariant;
}

/** The choice for a device that nothing was measured on: blocks of 8 rows are sound (engine.md section 10). */
export function defaultTuning(device: GPUDevice): Tuning {
  const variant = loadsByLane(device) ? '16x1' : '8x2';
  return { forward: variant, backward: variant };
}

/** Rows from which register blocks of several rows pay. */
const FEW_ROWS = 4;

/** The picker that plans record with. */
export function pickWith(tuning: Tuning): PickVariant {
  return (product, rows) => (rows < FEW_ROWS ? 'naive' : tuning[product]);
}

/** Whether a value from outside is a tuning that this version knows and the device can run. */
export function isTuning(device: GPUDevice, value: unknown): value is Tuning {
  const known: unknown[] = variantsFor(device);
  const isVariant = (name: unknown): boolean => known.includes(name);
  if (typeof value !== 'object' || value === null) return false;
  return 'forward' in value && 'backward' in value && isVariant(value.forward) && isVariant(value.backward);
}
