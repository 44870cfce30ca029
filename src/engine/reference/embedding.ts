/** CPU twin of shaders/embedding.wgsl. */

/** Rows of `weight` [vocab, hidden] by id. */
export function embeddingReference(
  ids: ArrayLike<number>,
  weight: ArrayLike<number>,
  hidden: number,
): Float64Array {
  return Float64Array.from(
    { length: ids.length * hidden },
    (_, i) => weight[(ids[Math.floor(i / hidden)] ?? 0) * hidden + (i % hidden)] ?? NaN,
  );
}
