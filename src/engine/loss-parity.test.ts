/**
 * Every loss against PyTorch's autograd over PEFT's log-probabilities (tools/loss_goldens.py): the value within 1e-5
 * relative, each LoRA gradient within 1e-4 relative L2, for models with a frozen head, with an adapted one, and GPT-2.
 */
import { expect, test } from 'vitest';
import { decodeFloats, isFloatDtype } from '../formats/float-codec.ts';
import type { TensorSource } from '../formats/tensors.ts';
import { fixtureJson, fixtureTensors, openAdaptedModel } from './testing/adapted-model.ts';
import { relativeL2 } from './testing/distance.ts';
import { useGpu } from './testing/gpu.ts';
import type { LossDatum } from './train/loss-data.ts';
import { forwardBackwardData, forwardData, promptLogprobs } from './train/loss-step.ts';
import { lossFrom, type Loss } from './train/losses.ts';
import type { TrainingSession } from './train/session.ts';

useGpu();

interface Golden {
  promptPositions: number;
  inputIds: number[][];
  logprobs: number[][];
  baseLogprobs: number[][];
  cases: Record<string, GoldenCase>;
}

interface GoldenCase {
  loss: string;
  settings: Record<string, number>;
  data: Omit<LossDatum, 'inputIds'>[];
  value: number;
}

const keys = { seed: 0, step: 1, micro: 0 };
const crossEntropy: Loss = { name: 'cross_entropy' };

/** The largest distance found, by what it is of. */
const worst: Record<string, number> = {};

function note(what: string, distance: number, limit: number): void {
  expect(distance, what).toBeLessThan(limit);
  worst[what] = Math.max(worst[what] ?? 0, distance);
}

async function wanted(tensors: TensorSource, name: string): Promise<Float32Array> {
  const info = tensors.get(name);
  if (!info || !isFloatDtype(info.dtype)) throw new Error(`No tensor ${name}.`);
  return decodeFloats(info.dtype, await tensors.read(name));
}

/** The value of a custom loss and its gradient with respect to each log-probability, by hand. */
function customLoss(
  name: string,
  logprobs: readonly Float32Array[],
  { baseLogprobs, promptPositions }: Golden,
  { settings }: GoldenCase,
): { value: number; slopes: number[][] } {
  if (name === 'custom_quadratic') {
    const each = logprobs.map((row) => [...row].map((p) => ({ part: (p + 3) ** 2, slope: 2 * (p + 3) })));
    return {
      value: each.reduce((sum, row) => sum + row.reduce((s, { part }) => s + part, 0) / row.length, 0),
      slopes: each.map((row) => row.map(({ slope }) => slope / row.length)),
    };
  }
  const { beta = NaN } = settings;
  const margins = logprobs.map((row, datum) =>
    row.reduce((sum, p, i) => (i < promptPositions ? sum : sum + p - (baseLogprobs[datum]?.[i] ?? NaN)), 0),
  );
  const x = beta * ((margins[0] ?? NaN) - (margins[1] ?? NaN));
  const slope = -beta / (1 + Math.exp(x));
  const signs = [1, -1, 0];
  return {
    value: Math.log1p(Math.exp(-x)),
    slopes: logprobs.map((row, datum) =>
      [...row].map((_, i) => (i < promptPositions ? 0 : (signs[datum] ?? 0) * slope)),
    ),
  };
}

/** Trains one case and resolves with the value, from both passes; the gradient is left in the session. */
async function runCase(
  session: TrainingSession,
  golden: Golden,
  name: string,
  entry: GoldenCase,
): Promise<{ value: number; forwardValue: number; microBatches: number }> {
  const data = entry.data.map((datum, i): LossDatum => ({ inputIds: golden.inputIds[i] ?? [], ...datum }));
  if (entry.loss !== 'custom') {
    const loss = lossFrom(entry.loss, entry.settings);
    const forward = await forwardData(session, data, loss);
    const { loss: value, microBatches } = await forwardBackwardData(session, data, loss, keys);
    return { value, forwardValue: forward.loss, microBatches };
  }
  const { logprobs } = await forwardData(session, data, crossEntropy);
  const { value, slopes } = customLoss(name, logprobs, golden, entry);
  const weighted = data.map((datum, i) => ({ ...datum, weights: (slopes[i] ?? []).map((slope) => -slope) }));
  const { microBatches } = await forwardBackwardData(session, weighted, crossEntropy, keys);
  return { value, forwardValue: value, microBatches };
}

for (const model of ['llama', 'llama-untied', 'gpt2']) {
  test(`${model}: every loss has PyTorch's value and gradients`, async () => {
    const golden = (await fixtureJson(`losses/${model}.json`)) as Golden;
    const want = await fixtureTensors(`losses/${model}.safetensors`);
    using opened = await openAdaptedModel(model);
    const session = await opened.open();
    expect(Object.keys(golden.cases)).toHaveLength(10);
    for (const [name, entry] of Object.entries(golden.cases)) {
      await session.clearGradients();
      const { value, forwardValue, microBatches } = await runCase(session, golden, name, entry);
      expect(microBatches).toBe(2);
      note(`value ${name}`, Math.abs(value / entry.value - 1), 1e-5);
      note(`forward ${name}`, Math.abs(forwardValue / entry.value - 1), 1e-5);
      for (const { name: tensor, data } of await session.state.tensors('grads')) {
        note(`gradient ${name}`, relativeL2(data, await wanted(want, `${name}.${tensor}`)), 1e-4);
      }
    }
    process.stderr.write(`${model}: ${JSON.stringify(worst)}\n`);
  });

  test(`${model}: the log-probabilities of a prompt, with the adapter and without`, async () => {
    const golden = (await fixtureJson(`losses/${model}.json`)) as Golden;
    using opened = await openAdaptedModel(model);
    const session = await opened.open({ train: false });
    const targets = golden.cases['importance_sampling']?.data.map(({ targetTokens }) => targetTokens) ?? [];
    const prompts = golden.inputIds.map((ids, i) => [...ids, targets[i]?.[ids.length - 1] ?? -1]);
    for (const [scale, want] of [
      [1, golden.logprobs],
      [0, golden.baseLogprobs],
    ] as const) {
      const got = await promptLogprobs(session, [[5], ...prompts], scale);
      expect(got.map(({ length }) => length)).toEqual([0, 9, 17, 13]);
      want.forEach((row, i) => {
        expect(relativeL2(got[i + 1] ?? [], row), `scale ${scale}`).toBeLessThan(2e-6);
      });
    }
  });
}
