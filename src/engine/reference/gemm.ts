/** CPU twins of shaders/gemm-forward-*.wgsl and gemm-backward-*.wgsl: plain loops, float64 sums. */

/** `x Wᵀ`: x [rows, in], w [out, in], to [rows, out]. */
export function gemmForwardReference(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  rows: number,
  inSize: number,
  out: number,
): Float64Array {
  const y = new Float64Array(rows * out);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < out; o++) {
      let sum = 0;
      for (let k = 0; k < inSize; k++) sum += (x[r * inSize + k] ?? 0) * (w[o * inSize + k] ?? 0);
      y[r * out + o] = sum;
    }
  }
  return y;
}

/** `dy W`: dy [rows, out], w [out, in], to [rows, in]. */
export function gemmBackwardReference(
  dy: ArrayLike<number>,
  w: ArrayLike<number>,
  rows: number,
  inSize: number,
  out: number,
): Float64Array {
  const dx = new Float64Array(rows * inSize);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < out; o++) {
      const d = dy[r * out + o] ?? 0;
      for (let k = 0; k < inSize; k++)
        dx[r * inSize + k] = (dx[r * inSize + k] ?? 0) + d * (w[o * inSize + k] ?? 0);
    }
  }
  return dx;
}
