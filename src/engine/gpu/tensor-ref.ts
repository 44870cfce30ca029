/** How plans name the matrices that their dispatches read and write. */

/** A matrix of float32 (or raw words) inside a plan: row-major, rows padded to a multiple of 4 columns. */
export interface TensorRef {
  readonly label: string;
  readonly rows: number;
  readonly cols: number;
  /** Where it lies: a buffer of somebody else, or a slot of the plan's arena (by index, filled while building). */
  readonly place: { buffer: GPUBuffer; offset: number } | { arena: number };
  readonly bytes: number;
}
