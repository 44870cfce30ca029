/** Chooses the variant of a product for its shape: few rows take the plain kernel, many the measured winner. */
import { GEMM_VARIANTS, type GemmVariant } from '../ops/gemm.ts';
import type { PickVariant } from '../ops/linear.ts';

/** Winners of the autotuner by product; all variants give the same bits, so a choice never changes a result. */
export interface Tuning {
  forward: GemmVariant;
  backward: GemmVariant;
}

/** The best on the software adapters, and a sound choice on GPUs (engine.md section 10). */
export const DEFAULT_TUNING: Readonly<Tuning> = { forward: '8x2', backward: '8x2' };

/** Rows from which register blocks of several rows pay. */
const FEW_ROWS = 4;

/** The picker that plans record with. */
export function pickWith(tuning: Tuning): PickVariant {
  return (product, rows) => (rows < FEW_ROWS ? 'naive' : tuning[product]);
}

/** Whether a value from outside is a tuning that this version knows. */
export function isTuning(value: unknown): value is Tuning {
  const isVariant = (name: unknown): boolean =>
    typeof name === 'string' && Object.hasOwn(GEMM_VARIANTS, name);
  if (typeof value !== 'object' || value === null) return false;
  return 'forward' in value && 'backward' in value && isVariant(value.forward) && isVariant(value.backward);
}
