/** CPU twin of shaders/head-*.wgsl, gather-rows.wgsl and scatter-rows.wgsl: with all logits at once. */

/** Log-probability of each row's target under softmax(logits [rows, vocab]). */
export function headLogprobReference(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  vocab: number,
): Float64Array {
  return Float64Array.from({ length: targets.length }, (_, row) => {
    const target = logits[row * vocab + (targets[row] ?? 0)] ?? NaN;
    return target - logSumExp(logits, row * vocab, vocab);
  });
}

/** Gradient of `Σ coefficient * logprob` with respect to the logits: `c (onehot - softmax)`. */
export function headLogitGradientReference(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  coefficient: ArrayLike<number>,
  vocab: number,
): Float64Array {
  const gradient = new Float64Array(targets.length * vocab);
  for (let row = 0; row < targets.length; row++) {
    const total = logSumExp(logits, row * vocab, vocab);
    for (let v = 0; v < vocab; v++) {
      const onehot = v === targets[row] ? 1 : 0;
      const at = row * vocab + v;
      gradient[at] = (coefficient[row] ?? 0) * (onehot - Math.exp((logits[at] ?? 0) - total));
    }
  }
  return gradient;
}

function logSumExp(logits: ArrayLike<number>, from: number, count: number): number {
  let peak = -Infinity;
  for (let v = 0; v < count; v++) peak = Math.max(peak, logits[from + v] ?? NaN);
  let sum = 0;
  for (let v = 0; v < count; v++) sum += Math.exp((logits[from + v] ?? NaN) - peak);
  return peak + Math.log(sum);
}

/** `x[rows[i]]` for each i. */
export function gatherRowsReference(
  x: ArrayLike<number>,
  rows: ArrayLike<number>,
  cols: number,
): Float64Array {
  return Float64Array.from(
    { length: rows.length * cols },
    (_, i) => x[(rows[Math.floor(i / cols)] ?? 0) * cols + (i % cols)] ?? NaN,
  );
}

/** The way back into `count` rows, zero where nothing goes. */
export function scatterRowsReference(
  x: ArrayLike<number>,
  rows: ArrayLike<number>,
  cols: number,
  count: number,
): Float64Array {
  const out = new Float64Array(count * cols);
  for (let i = 0; i < rows.length * cols; i++)
    out[(rows[Math.floor(i / cols)] ?? 0) * cols + (i % cols)] = x[i] ?? NaN;
  return out;
}
