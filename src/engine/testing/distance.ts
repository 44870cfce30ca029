/** Distances between vectors. Tests only. */

/** Relative L2 distance. */
export function relativeL2(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < want.length; i++) {
    difference += ((got[i] ?? NaN) - (want[i] ?? NaN)) ** 2;
    norm += (want[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / Math.max(norm, 1e-300));
}
