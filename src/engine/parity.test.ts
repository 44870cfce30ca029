/**
 * The whole engine against transformers + PEFT (tools/parity_goldens.py): logits, loss, every LoRA gradient, ten AdamW
 * steps, per family. Tolerances: engine.md section 11. Both sequences of a case run packed, the goldens one by one.
 */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { bytesSource } from '../formats/bytes.ts';
import { decodeFloats, isFloatDtype } from '../formats/float-codec.ts';
import { readPeftFolder } from '../formats/peft-read.ts';
import { openSafetensors } from '../formats/safetensors-read.ts';
import type { TensorSource } from '../formats/tensors.ts';
import { folderFileSet } from '../storage/node-fs.ts';
import { Generator } from './generate/generator.ts';
import { loadBaseModel } from './model/base-model.ts';
import { parseModelConfig } from './model/config.ts';
import { relativeL2 } from './testing/compare.ts';
import { testDevice, useGpu } from './testing/gpu.ts';
import { packExamples } from './train/batcher.ts';
import { TrainingSession } from './train/session.ts';
import { chooseToken } from './generate/choose.ts';
import { DEFAULT_GENERATE } from './train/types.ts';

useGpu();

interface Golden {
  sequences: { inputIds: number[]; labels: number[] }[];
  trainedTokens: number;
  loss: number;
  optimizer: { lr: number; beta1: number; beta2: number; eps: number; weightDecay: number; gradClip: number };
  losses: number[];
  gradNorms: number[];
  greedy: { prompt: number[]; tokens: number[] };
}

const folder = new URL('../../e2e/fixtures/parity/', import.meta.url).pathname;

async function openTensors(path: string): Promise<TensorSource> {
  return openSafetensors(bytesSource(path, Uint8Array.from(await readFile(path))));
}

async function floats(tensors: TensorSource, name: string): Promise<Float32Array> {
  const info = tensors.get(name);
  if (!info || !isFloatDtype(info.dtype)) throw new Error(`No tensor ${name}.`);
  return decodeFloats(info.dtype, await tensors.read(name));
}

const relative = (got: number, want: number): number => Math.abs(got - want) / Math.abs(want);

const cases = [
  'llama',
  'llama-rope3',
  'llama-linear',
  'llama-untied',
  'llama-bf16',
  'mistral',
  'qwen2',
  'qwen3',
  'gpt2',
  'gpt2-f16',
];

for (const name of cases) {
  test(`${name}: logits, loss, gradients and ten steps as transformers and PEFT compute them`, async () => {
    const dir = `${folder}${name}`;
    const golden = JSON.parse(await readFile(`${dir}/golden.json`, 'utf8')) as Golden;
    const want = await openTensors(`${dir}/golden.safetensors`);
    const config = parseModelConfig(JSON.parse(await readFile(`${dir}/config.json`, 'utf8')));
    const { adapter } = await readPeftFolder(await folderFileSet(`${dir}/adapter`));
    const device = testDevice();
    device.pushErrorScope('validation');
    const base = await loadBaseModel(device, {
      config,
      tensors: await openTensors(`${dir}/model.safetensors`),
    });
    const session = await TrainingSession.create(base, {
      settings: adapter.settings,
      start: { tensors: adapter.tensors },
      maxTokens: 64,
      evaluate: true,
    });

    // Logits, position by position through the key/value cache; then the greedy answer.
    const generator = await Generator.create(base, session.state, 64);
    const wantLogits = await floats(want, 'logits');
    let worst = 0;
    let row = 0;
    for (const { inputIds } of golden.sequences) {
      for (let end = 1; end <= inputIds.length; end++, row++) {
        const got = await generator.logits(inputIds.slice(0, end));
        got.forEach((value, i) => {
          worst = Math.max(worst, Math.abs(value - (wantLogits[row * config.vocabSize + i] ?? NaN)));
        });
      }
    }
    expect(worst, 'logits, max abs difference').toBeLessThan(1e-3);
    const answer: number[] = [];
    const options = { ...DEFAULT_GENERATE, maxTokens: golden.greedy.tokens.length };
    for await (const { id } of generator.generate(golden.greedy.prompt, options)) answer.push(id);
    expect(answer).toEqual(golden.greedy.tokens);

    // Ten steps on both sequences packed.
    const packed = packExamples(golden.sequences, 1 / golden.trainedTokens);
    expect(packed.headRows.length).toBe(golden.trainedTokens);
    const lossOf = (logprobs: Float32Array): number =>
      -logprobs.reduce((sum, value) => sum + value, 0) / golden.trainedTokens;
    expect(relative(lossOf(await session.evaluate(packed)), golden.loss), 'loss').toBeLessThan(1e-5);
    for (const [index, wantLoss] of golden.losses.entries()) {
      const step = index + 1;
      const loss = lossOf(await session.forwardBackward(packed, { seed: 0, step, micro: 0 }));
      expect(relative(loss, wantLoss), `loss of step ${step}`).toBeLessThan(step === 1 ? 1e-5 : 1e-4);
      if (step === 1) {
        for (const { name: tensor, data } of await session.state.tensors('grads')) {
          const gradient = await floats(want, `grad.${tensor}`);
          expect(relativeL2(data, gradient), `gradient of ${tensor}`).toBeLessThan(1e-4);
        }
      }
      const { optimizer } = golden;
      const norm = await session.optimStep(step, { ...optimizer, learningRate: optimizer.lr });
      expect(relative(norm, golden.gradNorms[index] ?? NaN), `gradient norm of step ${step}`).toBeLessThan(
        1e-4,
      );
    }
    for (const { name: tensor, data } of await session.state.tensors()) {
      expect(
        relativeL2(data, await floats(want, `after.${tensor}`)),
        `${tensor} after ten steps`,
      ).toBeLessThan(1e-4);
    }

    generator.dispose();
    session.dispose();
    base.dispose();
    expect(base.pool.bytes).toBe(0);
    expect((await device.popErrorScope())?.message ?? 'no GPU error').toBe('no GPU error');
  });
}

test('sampling depends on the seed alone', () => {
  const logits = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i));
  const options = { temperature: 0.8, topK: 20, topP: 0.9, seed: 7 };
  const draw = (seed: number): number[] =>
    Array.from({ length: 20 }, (_, i) => chooseToken(logits, { ...options, seed }, i).id);
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});
