import { expect, test } from 'vitest';
import goldens from './fixtures/adamw-goldens.json';
import { readBuffer } from '../gpu/buffers.ts';
import { externalTensor, externalWords, type TensorRef } from '../gpu/plan.ts';
import { SubmitPace } from '../gpu/plan-run.ts';
import { adamWReference } from '../reference/adamw.ts';
import { gradNormReference } from '../reference/grad-norm.ts';
import { expectClose, randomValues } from '../testing/compare.ts';
import { gpuTest, testDevice, useGpu, type GpuBench } from '../testing/gpu.ts';
import { DEFAULT_FINETUNE, type AdamParams } from '../train/types.ts';
import { ADAM_HYPER_WORDS, adamW, writeAdamHyper } from './adamw.ts';
import { gradNorm } from './grad-norm.ts';

useGpu();

type Values = Float32Array<ArrayBuffer>;
const BUFFERS = ['params', 'grads', 'expAvg', 'expAvgSq'] as const;
type State = Record<(typeof BUFFERS)[number], Values>;

/** Steps through `grads`, one optimizer step each, and reads everything back. */
async function train(
  bench: GpuBench,
  start: State,
  steps: { grads: Values; settings: AdamParams; divisor?: number }[],
  largestBinding?: number,
): Promise<State & { norms: number[] }> {
  const { pool, plan } = bench;
  const floats = start.params.length;
  const made = (name: (typeof BUFFERS)[number]): [GPUBuffer, TensorRef] => {
    const buffer = pool.createWith(name, start[name]);
    return [buffer, externalWords(name, buffer, floats)];
  };
  const [paramsBuffer, params] = made('params');
  const [gradsBuffer, grads] = made('grads');
  const [expAvgBuffer, expAvg] = made('expAvg');
  const [expAvgSqBuffer, expAvgSq] = made('expAvgSq');
  const hyperBuffer = pool.create('hyper', ADAM_HYPER_WORDS * 4);
  const hyper = externalTensor('hyper', hyperBuffer, 1, ADAM_HYPER_WORDS);
  const norm = plan.keep(gradNorm(plan, grads, floats, largestBinding));
  adamW(plan, { params, grads, expAvg, expAvgSq, hyper, norm }, floats, largestBinding);
  const built = await plan.build('adamw');
  const pace = new SubmitPace();
  const norms: number[] = [];
  for (const [index, step] of steps.entries()) {
    pool.device.queue.writeBuffer(gradsBuffer, 0, step.grads);
    const { divisor = 1 } = step;
    writeAdamHyper(pool.device, hyperBuffer, { ...step.settings, step: index + 1, divisor });
    built.run(pace);
    const place = built.locate(norm);
    norms.push(new Float32Array(await readBuffer(pool, place.buffer, place.offset, 4))[0] ?? NaN);
  }
  const read = async (buffer: GPUBuffer): Promise<Values> =>
    new Float32Array(await readBuffer(pool, buffer, 0, floats * 4));
  return {
    params: await read(paramsBuffer),
    grads: await read(gradsBuffer),
    expAvg: await read(expAvgBuffer),
    expAvgSq: await read(expAvgSqBuffer),
    norms,
  };
}

function freshState(params: ArrayLike<number>): State {
  const zeros = (): Values => new Float32Array(params.length);
  return { params: Float32Array.from(params), grads: zeros(), expAvg: zeros(), expAvgSq: zeros() };
}

for (const golden of goldens.cases) {
  gpuTest(`ten steps as torch.optim.AdamW takes them, with ${golden.name}`, async (bench) => {
    const { beta1, beta2, eps, weightDecay, gradClip } = golden;
    const steps = golden.grads.map((grads, index) => ({
      grads: Float32Array.from(grads),
      settings: { learningRate: golden.rates[index] ?? NaN, beta1, beta2, eps, weightDecay, gradClip },
    }));
    expect(steps).toHaveLength(10);
    const got = await train(bench, freshState(golden.start), steps);
    // Ten roundings of float32 in each of them.
    const tolerance = { absolute: 1e-9, relative: 2e-6 };
    expectClose(got.norms, golden.norms, tolerance);
    expectClose(got.params, golden.params, tolerance);
    expectClose(got.expAvg, golden.expAvg, tolerance);
    expectClose(got.expAvgSq, golden.expAvgSq, tolerance);
  });
}

const settings: AdamParams = { ...DEFAULT_FINETUNE, learningRate: 1e-2, weightDecay: 0.1, gradClip: 1 };

for (const floats of [1, 7, 4099, 70_003]) {
  gpuTest(`steps over ${floats} values agree with the CPU twin, cut into parts`, async (bench) => {
    const start = freshState(randomValues(1, floats));
    const steps = [2, 3, 4].map((seed) => ({ grads: randomValues(seed, floats), settings }));
    const want = {
      params: Float64Array.from(start.params),
      expAvg: new Float64Array(floats),
      expAvgSq: new Float64Array(floats),
    };
    steps.forEach(({ grads }, index) => {
      adamWReference(want, grads, gradNormReference(grads), { ...settings, step: index + 1 });
    });
    const got = await train(bench, start, steps, 2048 * 4);
    // An update is at most the rate times a few, and loses a few of its last bits where m cancels.
    expectClose(got.params, want.params, { absolute: 1e-6, relative: 1e-6 });
    expectClose(got.expAvg, want.expAvg, { absolute: 1e-7, relative: 1e-5 });
    expectClose(got.expAvgSq, want.expAvgSq, { absolute: 1e-9, relative: 1e-5 });
  });
}

for (const gradClip of [0, 0.5]) {
  gpuTest(`the gradient is divided first and clipped to ${gradClip} then`, async (bench) => {
    const start = freshState(randomValues(1, 133));
    const divisors = [7, 3, 1000];
    // eps that shows the size of the gradient: Adam alone takes it out again.
    const used = { ...settings, gradClip, eps: 0.1 };
    const steps = divisors.map((divisor, seed) => ({
      grads: randomValues(seed + 2, 133),
      settings: used,
      divisor,
    }));
    const want = {
      params: Float64Array.from(start.params),
      expAvg: new Float64Array(133),
      expAvgSq: new Float64Array(133),
    };
    steps.forEach(({ grads, divisor }, index) => {
      adamWReference(want, grads, gradNormReference(grads), { ...used, step: index + 1, divisor });
    });
    const got = await train(bench, start, steps);
    expectClose(got.params, want.params, { absolute: 1e-8, relative: 1e-6 });
    expectClose(got.expAvg, want.expAvg, { absolute: 1e-8, relative: 1e-5 });
    const divided = steps.map(({ grads, divisor }) => ({
      grads: grads.map((value) => value / divisor),
      settings: used,
    }));
    expectClose(got.params, (await train(bench, start, divided)).params, { absolute: 1e-7, relative: 1e-6 });
  });
}

gpuTest('a step without a gradient moves by what the moments remember', async (bench) => {
  const start = { ...freshState(randomValues(1, 70)), expAvg: randomValues(2, 70, 0.1) };
  start.expAvgSq.fill(0.01);
  const got = await train(bench, start, [{ grads: new Float32Array(70), settings }]);
  const want = {
    params: Float64Array.from(start.params),
    expAvg: Float64Array.from(start.expAvg),
    expAvgSq: Float64Array.from(start.expAvgSq),
  };
  adamWReference(want, new Float32Array(70), 0, { ...settings, step: 1 });
  expect(got.norms).toEqual([0]);
  expectClose(got.params, want.params, { absolute: 1e-6, relative: 1e-6 });
  expect(got.params).not.toEqual(start.params);
});

for (const bad of [NaN, -Infinity]) {
  gpuTest(`a gradient of ${bad} leaves everything as it is`, async (bench) => {
    const start = { ...freshState(randomValues(1, 133)), expAvg: randomValues(2, 133, 0.1) };
    const grads = randomValues(3, 133);
    grads[100] = bad;
    const got = await train(bench, start, [{ grads, settings }]);
    expect(got.norms).toEqual([Infinity]);
    expect(got.params).toEqual(start.params);
    expect(got.expAvg).toEqual(start.expAvg);
    expect(got.expAvgSq).toEqual(start.expAvgSq);
  });
}

gpuTest('padding of zeros stays zero, even without eps', async (bench) => {
  const grads = new Float32Array(64);
  grads[0] = 1;
  for (const eps of [1e-12, 0]) {
    const got = await train(bench, freshState(new Float32Array(64)), [
      { grads, settings: { ...settings, eps } },
    ]);
    expect(got.params[0]).toBeCloseTo(-settings.learningRate, 8);
    expect(got.params.subarray(1).every((value) => value === 0)).toBe(true);
  }
});

test('there is no step before the first', () => {
  const buffer = testDevice().createBuffer({ size: 32, usage: 8 });
  expect(() => writeAdamHyper(testDevice(), buffer, { ...settings, step: 0 })).toThrow('step 0');
  buffer.destroy();
});
