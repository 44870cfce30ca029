import { expect } from 'vitest';
import { copyColumnsReference } from '../reference/columns.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { copyColumns } from './columns.ts';

useGpu();

for (const { rows, used, fromCols, fromCol, toCols, toCol, cols } of [
  { rows: 1, used: 1, fromCols: 4, fromCol: 0, toCols: 4, toCol: 0, cols: 4 },
  { rows: 7, used: 7, fromCols: 108, fromCol: 36, toCols: 36, toCol: 0, cols: 36 },
  { rows: 5, used: 3, fromCols: 36, fromCol: 0, toCols: 108, toCol: 72, cols: 36 },
  { rows: 3, used: 3, fromCols: 900, fromCol: 300, toCols: 700, toCol: 100, cols: 520 },
]) {
  gpuTest(`columns ${fromCol} to ${fromCol + cols} of ${used} rows to column ${toCol}`, async (bench) => {
    const source = randomValues(1, rows * fromCols);
    const target = randomValues(2, rows * toCols);
    const to = bench.matrix('to', rows, toCols, target);
    copyColumns(bench.plan, { from: bench.matrix('from', rows, fromCols, source), fromCol, to, toCol, cols });
    const [got] = await bench.run([to], { tokens: used });
    copyColumnsReference(
      { values: source, cols: fromCols, first: fromCol },
      { values: target, cols: toCols, first: toCol },
      used,
      cols,
    );
    expectClose(got ?? [], target, { absolute: 0, relative: 0 });
  });
}

gpuTest('copyColumns refuses what does not fit', async (bench) => {
  const from = bench.plan.tensor('from', 2, 12);
  const to = bench.plan.tensor('to', 2, 8);
  expect(() => copyColumns(bench.plan, { from, fromCol: 2, to, toCol: 0, cols: 4 })).toThrow('2, 0, 4');
  expect(() => copyColumns(bench.plan, { from, fromCol: 4, to, toCol: 4, cols: 8 })).toThrow('into [2, 8]');
});
