import { expect, test } from 'vitest';
import type { TensorRef } from '../gpu/plan.ts';
import { FLAT_ALIGN, flatParts, flatSlice } from './flat.ts';

test('parts cover a buffer once, in order, at aligned places, and fit the binding', () => {
  for (const floats of [1, FLAT_ALIGN, FLAT_ALIGN + 1, 10 * FLAT_ALIGN + 3]) {
    const parts = flatParts(floats, 3 * FLAT_ALIGN * 4 + 100);
    let next = 0;
    for (const { first, floats: count } of parts) {
      expect(first).toBe(next);
      expect(first % FLAT_ALIGN).toBe(0);
      expect(count).toBeLessThanOrEqual(3 * FLAT_ALIGN);
      next = first + count;
    }
    expect(next).toBe(floats);
  }
  expect(() => flatParts(10, 100)).toThrow('hold less than');
});

test('only a tensor in a buffer of its own can be sliced', () => {
  const arena: TensorRef = { label: 'x', rows: 1, cols: 4, bytes: 16, place: { arena: 0 } };
  expect(() => flatSlice(arena, { first: 0, floats: 4 })).toThrow('x is not in a buffer of its own.');
});
