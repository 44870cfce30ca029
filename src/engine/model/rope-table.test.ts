import { expect, test } from 'vitest';
import goldens from './fixtures/rope-goldens.json';
import { ConfigReader } from './config-reader.ts';
import { readRopeScaling } from './rope-scaling.ts';
import { ropeTable } from './rope-table.ts';

// Angles reach 511 rad, where a single rounding done otherwise than PyTorch's moves a sine by 3e-5.
const TOLERANCE = 1e-6;

test.each(goldens.cases)(
  'the $parameters.rope_type table of head size $headDim agrees with transformers',
  (golden) => {
    const scaling = readRopeScaling(new ConfigReader({ rope_parameters: golden.parameters }));
    const last = goldens.positions.at(-1) ?? 0;
    const table = ropeTable(scaling, golden.headDim, last + 1);
    let worst = 0;
    goldens.positions.forEach((position, index) => {
      golden.rows[index]?.forEach((want, column) => {
        worst = Math.max(worst, Math.abs((table[position * golden.headDim + column] ?? NaN) - want));
      });
    });
    expect(golden.rows.flat()).toHaveLength(goldens.positions.length * golden.headDim);
    expect(worst).toBeLessThan(TOLERANCE);
  },
);

test('tells the kinds apart', () => {
  const plain = ropeTable({ kind: 'default', theta: 10000 }, 8, 16);
  const linear = ropeTable({ kind: 'linear', theta: 10000, factor: 2 }, 8, 16);
  expect(linear.slice(8 * 8, 9 * 8)).toEqual(plain.slice(4 * 8, 5 * 8));
});
