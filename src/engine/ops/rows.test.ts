import { expect, test } from 'vitest';
import { flatGrid, rowLimits } from './rows.ts';

test('a flat grid covers every item and folds where one dimension would grow too long', () => {
  for (const items of [1, 64, 65, 1000, 65535 * 64, 65535 * 64 + 1, 10 ** 9]) {
    const [x, y, z] = flatGrid(items);
    expect(x * y * z * 64).toBeGreaterThanOrEqual(items);
    expect(Math.max(x, y)).toBeLessThanOrEqual(65535);
  }
  expect(flatGrid(65)).toEqual([2, 1, 1]);
});

test('rows are limited by the tokens, once each, unless said otherwise', () => {
  expect(rowLimits({})).toEqual({ constants: { ROWS_FROM: 0 }, params: { rows_per_token: 1 } });
  const head = rowLimits({ rowsFrom: 'head', rowsPerToken: 3 });
  expect(head).toEqual({ constants: { ROWS_FROM: 1 }, params: { rows_per_token: 3 } });
});
