import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { addInPlace } from './add.ts';

useGpu();

for (const [rows, cols, numbers, options, used] of [
  [1, 1, { tokens: 1 }, {}, 1],
  [5, 67, { tokens: 3 }, {}, 3],
  [5, 8, { tokens: 1, headRows: 2 }, { rowsFrom: 'head' }, 2],
  [6, 8, { tokens: 2 }, { rowsPerToken: 2 }, 4],
] as const) {
  gpuTest(`addInPlace [${rows}, ${cols}], ${used} rows in use`, async (bench) => {
    const target = randomValues(1, rows * cols);
    const source = randomValues(2, rows * cols);
    const ref = bench.matrix('target', rows, cols, target);
    addInPlace(bench.plan, ref, bench.matrix('source', rows, cols, source), options);
    const [got = []] = await bench.run([ref], numbers);
    const want = target.map((value, i) => (i < used * cols ? value + (source[i] ?? 0) : value));
    expectClose(got, want, { absolute: 0, relative: 0 });
  });
}
