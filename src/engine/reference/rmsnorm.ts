/** CPU twin of shaders/rmsnorm*.wgsl. */

/** `x * rstd * weight` over rows of `weight.length` columns, and rstd of each row. */
export function rmsNormReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  eps: number,
): { y: Float64Array; rstd: Float64Array } {
  const cols = weight.length;
  const y = new Float64Array(x.length);
  const rstd = new Float64Array(x.length / cols);
  for (let row = 0; row < rstd.length; row++) {
    let sum = 0;
    for (let c = 0; c < cols; c++) sum += (x[row * cols + c] ?? 0) ** 2;
    const r = 1 / Math.sqrt(sum / cols + eps);
    rstd[row] = r;
    for (let c = 0; c < cols; c++) y[row * cols + c] = (x[row * cols + c] ?? 0) * r * (weight[c] ?? 0);
  }
  return { y, rstd };
}

/** The gradient with respect to x. */
export function rmsNormBackwardReference(
  dy: ArrayLike<number>,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  eps: number,
): Float64Array {
  const cols = weight.length;
  const { rstd } = rmsNormReference(x, weight, eps);
  const dx = new Float64Array(x.length);
  rstd.forEach((r, row) => {
    let dot = 0;
    for (let c = 0; c < cols; c++) {
      const at = row * cols + c;
      dot += (dy[at] ?? 0) * (weight[c] ?? 0) * (x[at] ?? 0);
    }
    for (let c = 0; c < cols; c++) {
      const at = row * cols + c;
      dx[at] = r * ((dy[at] ?? 0) * (weight[c] ?? 0) - ((x[at] ?? 0) * r * r * dot) / cols);
    }
  });
  return dx;
}
