import { swigluBackwardReference, swigluReference } from '../reference/swiglu.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, useGpu } from '../testing/gpu.ts';
import { swiglu, swigluBackward } from './swiglu.ts';

useGpu();

for (const [rows, cols] of [
  [1, 1],
  [3, 65],
  [7, 128],
] as const) {
  gpuTest(`swiglu forward and backward [${rows}, ${cols}]`, async (bench) => {
    const count = rows * cols;
    const gate = randomValues(1, count, 4);
    const up = randomValues(2, count);
    const dHidden = randomValues(3, count);
    const gateRef = bench.matrix('gate', rows, cols, gate);
    const upRef = bench.matrix('up', rows, cols, up);
    const hidden = swiglu(bench.plan, gateRef, upRef);
    swigluBackward(bench.plan, bench.matrix('dHidden', rows, cols, dHidden), gateRef, upRef);
    const [gotHidden, dGate, dUp] = await bench.run([hidden, gateRef, upRef], { tokens: rows });
    const want = swigluBackwardReference(dHidden, gate, up);
    expectClose(gotHidden ?? [], swigluReference(gate, up));
    expectClose(dGate ?? [], want.dGate);
    expectClose(dUp ?? [], want.dUp);
  });
}

gpuTest('swiglu leaves rows past the used ones alone', async (bench) => {
  const values = randomValues(4, 2 * 4);
  const ref = bench.matrix('gate', 2, 4, values);
  const hidden = bench.matrix('dHidden', 2, 4, values);
  swigluBackward(bench.plan, hidden, ref, bench.matrix('up', 2, 4, values));
  const [dGate] = await bench.run([ref], { tokens: 1 });
  expectClose(dGate?.subarray(4) ?? [], values.subarray(4), { absolute: 0, relative: 0 });
});
