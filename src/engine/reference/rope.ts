/** CPU twin of shaders/rope.wgsl and rope-cache.wgsl. */

/** Rotates a copy of x `[tokens, heads * headDim]`; `cosSin` as `ropeTable` lays it out. */
export function ropeReference(
  x: ArrayLike<number>,
  positions: ArrayLike<number>,
  cosSin: ArrayLike<number>,
  heads: number,
  headDim: number,
  backward: boolean,
): Float64Array {
  const y = Float64Array.from(x);
  const half = headDim / 2;
  for (let row = 0; row < x.length / headDim; row++) {
    const table = (positions[Math.floor(row / heads)] ?? 0) * headDim;
    for (let i = 0; i < half; i++) {
      const c = cosSin[table + i] ?? 0;
      const s = (cosSin[table + half + i] ?? 0) * (backward ? -1 : 1);
      const x1 = x[row * headDim + i] ?? 0;
      const x2 = x[row * headDim + half + i] ?? 0;
      y[row * headDim + i] = x1 * c - x2 * s;
      y[row * headDim + half + i] = x2 * c + x1 * s;
    }
  }
  return y;
}
