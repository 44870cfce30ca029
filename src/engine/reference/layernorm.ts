/** CPU twin of shaders/layernorm*.wgsl. */

/** `(x - mean) * rstd * weight + bias` over rows of `weight.length` columns, with mean and rstd of each row. */
export function layerNormReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  eps: number,
): { y: Float64Array; mean: Float64Array; rstd: Float64Array } {
  const cols = weight.length;
  const y = new Float64Array(x.length);
  const mean = new Float64Array(x.length / cols);
  const rstd = new Float64Array(x.length / cols);
  for (let row = 0; row < mean.length; row++) {
    let sum = 0;
    for (let c = 0; c < cols; c++) sum += x[row * cols + c] ?? 0;
    const center = sum / cols;
    let squares = 0;
    for (let c = 0; c < cols; c++) squares += ((x[row * cols + c] ?? 0) - center) ** 2;
    const r = 1 / Math.sqrt(squares / cols + eps);
    mean[row] = center;
    rstd[row] = r;
    for (let c = 0; c < cols; c++) {
      y[row * cols + c] = ((x[row * cols + c] ?? 0) - center) * r * (weight[c] ?? 0) + (bias[c] ?? 0);
    }
  }
  return { y, mean, rstd };
}

/** The gradient with respect to x. */
export function layerNormBackwardReference(
  dy: ArrayLike<number>,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  eps: number,
): Float64Array {
  const cols = weight.length;
  const { mean, rstd } = layerNormReference(x, weight, new Float64Array(cols), eps);
  const dx = new Float64Array(x.length);
  rstd.forEach((r, row) => {
    const xhat = (c: number): number => ((x[row * cols + c] ?? 0) - (mean[row] ?? 0)) * r;
    const g = (c: number): number => (dy[row * cols + c] ?? 0) * (weight[c] ?? 0);
    let plain = 0;
    let scaled = 0;
    for (let c = 0; c < cols; c++) {
      plain += g(c);
      scaled += g(c) * xhat(c);
    }
    for (let c = 0; c < cols; c++) dx[row * cols + c] = r * (g(c) - (plain + xhat(c) * scaled) / cols);
  });
  return dx;
}
