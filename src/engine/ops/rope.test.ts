import { expect, test } from 'vitest';
import { ropeTable } from '../model/rope-table.ts';
import { ropeReference } from '../reference/rope.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { relativeL2 } from '../testing/distance.ts';
import { centralDifferences } from '../testing/differences.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { rope } from './rope.ts';

useGpu();

const MAX_POSITIONS = 40;

for (const [rows, heads, headDim] of [
  [1, 1, 4],
  [3, 2, 12],
  [7, 9, 64],
  [13, 1, 20],
] as const) {
  gpuTest(`rope forward and backward [${rows}, ${heads} x ${headDim}]`, async (bench) => {
    const count = rows * heads * headDim;
    const x = randomValues(1, count);
    const dy = randomValues(2, count);
    const positions = Uint32Array.from({ length: rows }, (_, i) => (i * 7 + 3) % MAX_POSITIONS);
    const table = ropeTable({ kind: 'default', theta: 10000 }, headDim, MAX_POSITIONS);
    const xRef = bench.matrix('x', rows, heads * headDim, x);
    const dyRef = bench.matrix('dy', rows, heads * headDim, dy);
    const positionsRef = bench.words('positions', positions);
    const tableRef = bench.matrix('cosSin', MAX_POSITIONS, headDim, table);
    rope(bench.plan, xRef, positionsRef, tableRef, { heads, headDim, backward: false });
    rope(bench.plan, dyRef, positionsRef, tableRef, { heads, headDim, backward: true });
    const [y = [], dx = []] = await bench.run([xRef, dyRef], { tokens: rows });
    expectClose(y, ropeReference(x, positions, table, heads, headDim, false));
    expectClose(dx, ropeReference(dy, positions, table, heads, headDim, true));
  });
}

gpuTest('rope leaves rows past the used ones alone', async (bench) => {
  const x = randomValues(3, 2 * 8);
  const xRef = bench.matrix('x', 2, 8, x);
  const table = ropeTable({ kind: 'default', theta: 10000 }, 8, 4);
  const tableRef = bench.matrix('cosSin', 4, 8, table);
  const positions = bench.words('positions', Uint32Array.of(3, 3));
  rope(bench.plan, xRef, positions, tableRef, { heads: 1, headDim: 8, backward: false });
  const [y = []] = await bench.run([xRef], { tokens: 1 });
  expectClose(y.slice(0, 8), ropeReference(x.slice(0, 8), [3], table, 1, 8, false));
  expectClose(y.slice(8), x.slice(8), { absolute: 0, relative: 0 });
});

gpuTest('rope into a cache writes each row where it is told', async (bench) => {
  const [rows, heads, headDim, maxLen] = [3, 2, 8, 9];
  const places = [4, 8, 1];
  const cols = heads * headDim;
  const x = randomValues(4, rows * cols);
  const before = randomValues(5, maxLen * cols);
  const positions = Uint32Array.of(4, 2, 7);
  const table = ropeTable({ kind: 'default', theta: 10000 }, headDim, maxLen);
  const xRef = bench.matrix('x', rows, cols, x);
  const cache = bench.matrix('cache', maxLen, cols, before);
  rope(
    bench.plan,
    xRef,
    bench.words('positions', positions),
    bench.matrix('cosSin', maxLen, headDim, table),
    {
      heads,
      headDim,
      backward: false,
      out: { cache, rows: bench.words('rows', Uint32Array.from(places)) },
    },
  );
  const [got = [], untouched = []] = await bench.run([cache, xRef], { tokens: rows });
  const want = Float64Array.from(before);
  const turned = ropeReference(x, positions, table, heads, headDim, false);
  places.forEach((place, row) => want.set(turned.slice(row * cols, (row + 1) * cols), place * cols));
  expectClose(got, want);
  expectClose(untouched, x, { absolute: 0, relative: 0 });
});

test('the backward rotation of the reference agrees with central differences', () => {
  const [heads, headDim] = [2, 4];
  const positions = [5, 2];
  const table = ropeTable({ kind: 'default', theta: 10000 }, headDim, 6);
  const x = randomValues(6, 2 * heads * headDim);
  const dy = randomValues(7, x.length);
  const want = centralDifferences(
    (probe) => ropeReference(probe, positions, table, heads, headDim, false),
    x,
    dy,
  );
  expect(relativeL2(ropeReference(dy, positions, table, heads, headDim, true), want)).toBeLessThan(1e-8);
});
