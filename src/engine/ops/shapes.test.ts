import { expect, test } from 'vitest';
import type { TensorRef } from '../gpu/plan.ts';
import { checkSameShape, checkShape, rowGrid } from './shapes.ts';

function ref(label: string, rows: number, cols: number): TensorRef {
  return { label, rows, cols, bytes: 0, place: { arena: 0 } };
}

test('shapes that differ are named with both shapes', () => {
  checkSameShape('op', ref('a', 2, 3), ref('b', 2, 3));
  expect(() => checkSameShape('op', ref('a', 2, 3), ref('b', 3, 2))).toThrow('op: a is [2, 3], b is [3, 2].');
  checkShape('op', ref('a', 2, 3), 2, 3);
  expect(() => checkShape('op', ref('a', 2, 3), 2, 4)).toThrow('op: a is [2, 3], expected [2, 4].');
});

test('a row grid has one row per y and covers the padded columns', () => {
  expect(rowGrid(5, 1)).toEqual([1, 5, 1]);
  expect(rowGrid(5, 256)).toEqual([1, 5, 1]);
  expect(rowGrid(5, 257)).toEqual([2, 5, 1]);
});
