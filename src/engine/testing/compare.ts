/** Numbers for tests: seeded values and comparisons that say how far off they were. Tests only. */
import { expect } from 'vitest';

/** Values in [-1, 1) from a seed (mulberry32). */
export function randomValues(seed: number, count: number, scale = 1): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) / 2147483648 - 1) * scale;
  });
}

/** Asserts `|got - want| <= absolute + relative * |want|` for every element, naming the worst one. */
export function expectClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  { absolute = 1e-5, relative = 1e-5 }: { absolute?: number; relative?: number } = {},
): void {
  expect(got.length).toBe(want.length);
  let worst = { excess: 0, text: 'equal' };
  for (let i = 0; i < want.length; i++) {
    const a = got[i] ?? NaN;
    const b = want[i] ?? NaN;
    const excess = Math.abs(a - b) - (absolute + relative * Math.abs(b));
    if (!(excess <= 0) && !(excess <= worst.excess)) worst = { excess, text: `[${i}] got ${a}, want ${b}` };
  }
  expect(worst.text).toBe('equal');
}
