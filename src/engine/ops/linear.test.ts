import { gemmBackwardReference, gemmForwardReference } from '../reference/gemm.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { packedWeight } from '../testing/weights.ts';
import { linearBackward, linearForward, type LinearContext } from './linear.ts';

useGpu();

// The adapted layer, with and without dropout, is in lora.test.ts.
gpuTest(
  'a layer without an adapter: bias, residual, a weight in two parts, gradients that add up',
  async (bench) => {
    const [rows, inSize, out] = [5, 12, 20];
    const x = randomValues(1, rows * inSize);
    const dy = randomValues(2, rows * out);
    const bias = randomValues(3, out);
    const residual = randomValues(4, rows * out);
    const before = randomValues(5, rows * inSize);
    const matrix = randomValues(6, out * inSize);
    const { weight, values } = packedWeight(bench.pool, 'w', matrix, {
      out,
      in: inSize,
      dtype: 'BF16',
      parts: 2,
    });
    const spec = { role: 'o' as const, path: 'test', in: inSize, out, transposed: false };
    const layer = { spec, path: 'test', weight, bias: bench.matrix('bias', 1, out, bias) };
    const ctx: LinearContext = { plan: bench.plan, pick: () => 'naive', slot: () => null, training: true };
    const xRef = bench.matrix('x', rows, inSize, x);
    const { y, z } = linearForward(ctx, layer, xRef, bench.matrix('residual', rows, out, residual));
    const dx = bench.matrix('dx', rows, inSize, before);
    const dyRef = bench.matrix('dy', rows, out, dy);
    linearBackward(ctx, layer, { dy: dyRef, x: xRef, z, dx, accumulate: true });
    // Nothing below needs a gradient and there is no adapter: nothing is recorded.
    linearBackward(ctx, layer, { dy: dyRef, x: xRef, z, dx: null, accumulate: false });
    const [gotY, gotDx] = await bench.run([y, dx], { tokens: rows });
    const wantY = gemmForwardReference(x, values, rows, inSize, out);
    expectClose(
      gotY ?? [],
      wantY.map((v, i) => v + (bias[i % out] ?? 0) + (residual[i] ?? 0)),
    );
    const wantDx = gemmBackwardReference(dy, values, rows, inSize, out);
    expectClose(
      gotDx ?? [],
      wantDx.map((v, i) => v + (before[i] ?? 0)),
    );
  },
);
