/** Seeded random values for weights and inputs; quick, and the same on every machine. */

/** 32 random bits per call (xorshift, Marsaglia 2003). */
export function randomBits(seed: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5f3759df) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Values in ±scale. */
export function randomFloats(seed: number, count: number, scale = 1): Float32Array<ArrayBuffer> {
  const next = randomBits(seed);
  return Float32Array.from({ length: count }, () => (next() / 2 ** 31 - 1) * scale);
}

/** bf16 words in ±scale, rounded towards zero. */
export function randomBf16(seed: number, count: number, scale = 1): Uint8Array<ArrayBuffer> {
  const next = randomBits(seed);
  const value = new Float32Array(1);
  const word = new Uint32Array(value.buffer);
  const words = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    value[0] = (next() / 2 ** 31 - 1) * scale;
    words[i] = (word[0] ?? 0) >>> 16;
  }
  return new Uint8Array(words.buffer);
}
