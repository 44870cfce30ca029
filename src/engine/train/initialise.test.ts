import { expect, test } from 'vitest';
import type { AdapterLayout } from '../model/adapter-layout.ts';
import { initialParameters } from './initialise.ts';

/** Two modules of the same shape, with a rank that is padded. */
const layout: AdapterLayout = {
  modules: [0, 1].map((index) => ({
    path: `layer.${index}`,
    in: 1000,
    out: 6,
    rank: 6,
    rank4: 2,
    scale: 2,
    aOffset: index * 8128,
    bOffset: index * 8128 + 8064,
  })),
  floats: 2 * 8128,
  parameters: 2 * 6 * 1006,
};
const BOUND = 1 / Math.sqrt(1000);

test('A is uniform between the bounds of kaiming_uniform_, B and the padding are zero', () => {
  const flat = initialParameters(layout, 7);
  expect(flat).toHaveLength(layout.floats);
  for (const { aOffset } of layout.modules) {
    const a = flat.subarray(aOffset, aOffset + 6000);
    // The standard error of the mean of 6000 is 0.0075 bounds; that of the variance 0.0038 of them squared.
    const mean = a.reduce((sum, value) => sum + value, 0) / a.length;
    const variance = a.reduce((sum, value) => sum + value * value, 0) / a.length;
    expect(Math.abs(mean)).toBeLessThan(0.03 * BOUND);
    expect(Math.abs(variance / BOUND ** 2 - 1 / 3)).toBeLessThan(0.015);
    const sizes = a.map(Math.abs);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(Math.fround(BOUND));
    expect(Math.max(...sizes)).toBeGreaterThan(0.995 * BOUND);
    expect(new Set(a).size).toBeGreaterThan(5900);
    expect(flat.subarray(aOffset + 6000, aOffset + 8128).every((value) => value === 0)).toBe(true);
  }
});

test('it is a function of the seed, all 53 bits of it', () => {
  const first = initialParameters(layout, 7);
  expect(initialParameters(layout, 7)).toEqual(first);
  expect(initialParameters(layout, 8)).not.toEqual(first);
  expect(initialParameters(layout, 7 + 2 ** 32)).not.toEqual(first);
});

test('modules of one shape differ', () => {
  const flat = initialParameters(layout, 7);
  expect(flat.slice(0, 6000)).not.toEqual(flat.slice(8128, 8128 + 6000));
});
