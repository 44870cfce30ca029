import { expect } from 'vitest';
import { lossSlopeReference, type LossArrays } from '../reference/losses.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu, type GpuBench } from '../testing/gpu.ts';
import { LOSS_NAMES, type LossName } from '../train/losses.ts';
import { lossCoefficient } from './loss.ts';

useGpu();

type Arrays = Record<'logprob' | 'signal' | 'q' | 'low' | 'high', Float32Array<ArrayBuffer>>;

const BETA = 0.05;

/** The coefficient of each row, and one past those in use. */
async function coefficients(
  bench: GpuBench,
  name: LossName,
  arrays: Arrays,
  rows: number,
): Promise<Float32Array> {
  const used = arrays.logprob.length;
  const inputs = Float32Array.from({ length: rows * 4 }, (_, at) => {
    const row = Math.floor(at / 4);
    const third = name === 'dro' ? BETA : arrays.low[row];
    return [arrays.signal[row], arrays.q[row], third, arrays.high[row]][at % 4] ?? 9;
  });
  const logprob = bench.matrix('logprob', 1, rows, arrays.logprob);
  const c = lossCoefficient(bench.plan, logprob, bench.matrix('inputs', rows, 4, inputs));
  const [got = new Float32Array()] = await bench.run([c], {
    headRows: used,
    loss: LOSS_NAMES.indexOf(name),
  });
  return got;
}

const reference = (name: LossName, arrays: Arrays): Float64Array =>
  lossSlopeReference(name, { ...arrays, beta: Math.fround(BETA) } satisfies LossArrays);

/** Ratios on both sides of the bounds, advantages of both signs, some of them 0. */
function randomArrays(rows: number): Arrays {
  const logprob = randomValues(1, rows, 4).map((value) => value - 4);
  const shift = randomValues(2, rows, 0.6);
  return {
    logprob,
    q: logprob.map((value, i) => value - (shift[i] ?? 0)),
    signal: randomValues(3, rows, 2).map((value, i) => (i % 7 === 3 ? 0 : value)),
    low: randomValues(4, rows, 0.1).map((value) => 0.8 + value),
    high: randomValues(5, rows, 0.1).map((value) => 1.2 + value),
  };
}

for (const name of LOSS_NAMES) {
  for (const rows of [1, 63, 200]) {
    gpuTest(`the coefficients of ${name} on ${rows} rows`, async (bench) => {
      const arrays = randomArrays(rows);
      const got = await coefficients(bench, name, arrays, rows + 1);
      const want = reference(name, arrays);
      if (name === 'cross_entropy') expect(got.subarray(0, rows)).toEqual(Float32Array.from(want));
      expectClose(got.subarray(0, rows), want, { absolute: 1e-7, relative: 2e-6 });
      expect(got[rows], 'a row that is not in use').toBe(0);
      if (rows === 200 && name === 'ppo') {
        const zeros = want.filter((value, i) => value === 0 && arrays.signal[i] !== 0).length;
        expect(zeros, 'clipped rows').toBeGreaterThan(20);
        expect(zeros, 'clipped rows').toBeLessThan(180);
      }
    });
  }
}

/** A table of rows by column. */
function table(
  rows: readonly [logprob: number, q: number, signal: number, low: number, high: number][],
): Arrays {
  const column = (at: 0 | 1 | 2 | 3 | 4): Float32Array<ArrayBuffer> =>
    Float32Array.from(rows, (row) => row[at]);
  return { logprob: column(0), q: column(1), signal: column(2), low: column(3), high: column(4) };
}

const edges = table([
  // r is exactly 1 and lies on a bound: not clipped.
  [-2, -2, 1, 0.5, 1],
  [-2, -2, -1, 1, 1.5],
  [-2, -2, 1, 1, 1],
  [-2, -2, -1, 1, 1],
  // A range without r: above and below, both signs.
  [-2, -2, 1, 0.25, 0.75],
  [-2, -2, -1, 0.25, 0.75],
  [-2, -2, 1, 1.25, 1.75],
  [-2, -2, -1, 1.25, 1.75],
  // A lower bound of 0 never clips; a masked row has no slope.
  [-30, -1, -1, 0, 1.2],
  [-3, -1, 0, 0.8, 1.2],
]);

for (const name of ['ppo', 'cispo'] as const) {
  gpuTest(`the edges of the clip range of ${name}`, async (bench) => {
    const got = await coefficients(bench, name, edges, 10);
    const want = { ppo: [-1, 1, -1, 1, 0, 1, -1, 0], cispo: [-1, 1, -1, 1, -0.75, 0.75, -1.25, 1.25] }[name];
    expectClose(got.subarray(0, 8), want, { absolute: 0, relative: 3e-7 });
    expectClose(got, reference(name, edges), { absolute: 1e-30, relative: 1e-5 });
  });
}

gpuTest('a mask holds where the ratio overflows, and so do the bounds', async (bench) => {
  const far = table([
    [-1, -200, 0, 0.8, 1.2],
    [-1, -200, 1, 0.8, 1.2],
  ]);
  expect(await coefficients(bench, 'importance_sampling', table([[-1, -200, 0, 0, 0]]), 1)).toEqual(
    Float32Array.of(0),
  );
  expect([...(await coefficients(bench, 'ppo', far, 2))]).toEqual([0, 0]);
  expect([...(await coefficients(bench, 'cispo', far, 2))]).toEqual([0, -Math.fround(1.2)]);
});

gpuTest('a ratio that overflows without a bound leaves no finite coefficient', async (bench) => {
  const [c = NaN] = await coefficients(bench, 'importance_sampling', table([[-1, -200, 1, 0, 0]]), 1);
  expect(Number.isFinite(c)).toBe(false);
});
