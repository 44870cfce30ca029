/** Chooses the variant of a product for its shape: few rows take the plain kernel, many the measured winner. */
import type { GemmVariant } from '../ops/gemm.ts';
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
