/** CPU twin of shaders/lib/dropout.wgsl: the same words, bit for bit. */

function pcgHash(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}

/** The key of one module's mask. */
export function dropoutKey(seed: number, step: number, micro: number, module: number): number {
  return pcgHash((module ^ pcgHash((micro ^ pcgHash((step ^ pcgHash(seed)) >>> 0)) >>> 0)) >>> 0);
}

/** The factor of one element: 0 where dropped, else `keepScale`. */
export function dropoutFactor(key: number, element: number, threshold: number, keepScale: number): number {
  return pcgHash((key ^ pcgHash(element)) >>> 0) < threshold ? 0 : keepScale;
}
