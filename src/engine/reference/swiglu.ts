/** CPU twin of shaders/swiglu.wgsl and swiglu-backward.wgsl. */

/** `silu(gate) * up`, elementwise. */
export function swigluReference(gate: ArrayLike<number>, up: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: gate.length }, (_, i) => {
    const g = gate[i] ?? 0;
    return (g / (1 + Math.exp(-g))) * (up[i] ?? 0);
  });
}

/** Gradients with respect to gate and up. */
export function swigluBackwardReference(
  dHidden: ArrayLike<number>,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
): { dGate: Float64Array; dUp: Float64Array } {
  const dGate = new Float64Array(gate.length);
  const dUp = new Float64Array(gate.length);
  for (let i = 0; i < gate.length; i++) {
    const g = gate[i] ?? 0;
    const s = 1 / (1 + Math.exp(-g));
    dGate[i] = (dHidden[i] ?? 0) * (up[i] ?? 0) * s * (1 + g * (1 - s));
    dUp[i] = (dHidden[i] ?? 0) * g * s;
  }
  return { dGate, dUp };
}
