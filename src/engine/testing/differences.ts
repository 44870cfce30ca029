/** Central differences, the check of the analytic gradients in the CPU twins. Tests only. */

/** The gradient of `sum(weights * f(x))` by central differences; `f` is evaluated twice per element of x. */
export function centralDifferences(
  f: (x: Float64Array) => ArrayLike<number>,
  x: ArrayLike<number>,
  weights: ArrayLike<number>,
  step = 1e-5,
): Float64Array {
  const probe = Float64Array.from(x);
  const total = (): number => {
    const y = f(probe);
    let sum = 0;
    for (let i = 0; i < y.length; i++) sum += (weights[i] ?? 0) * (y[i] ?? 0);
    return sum;
  };
  return Float64Array.from({ length: x.length }, (_, i) => {
    const value = probe[i] ?? 0;
    probe[i] = value + step;
    const above = total();
    probe[i] = value - step;
    const below = total();
    probe[i] = value;
    return (above - below) / (2 * step);
  });
}
