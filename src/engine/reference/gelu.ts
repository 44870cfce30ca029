/** CPU twin of shaders/gelu.wgsl and gelu-backward.wgsl. */

const ROOT = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

/** GELU in the tanh form. */
export function geluReference(x: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (v) => 0.5 * v * (1 + Math.tanh(ROOT * (v + CUBIC * v ** 3))));
}

/** The gradient with respect to x. */
export function geluBackwardReference(dy: ArrayLike<number>, x: ArrayLike<number>): Float64Array {
  return Float64Array.from(x, (v, i) => {
    const t = Math.tanh(ROOT * (v + CUBIC * v ** 3));
    // 1 - t^2 is 0 for large v, where the polynomial would overflow.
    const slope = Math.abs(t) === 1 ? 0 : 0.5 * v * (1 - t * t) * ROOT * (1 + 3 * CUBIC * v * v);
    return (dy[i] ?? 0) * (0.5 * (1 + t) + slope);
  });
}
