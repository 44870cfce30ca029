import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_FINETUNE, evaluateLoss, type BaseModel } from '../engine/index.ts';
import { testDevice, useGpu } from '../engine/testing/gpu.ts';
import { loadBase } from './load-base.ts';
import { startEvaluation } from './start-evaluation.ts';
import { startRun } from './start-run.ts';
import { CONTEXT, demoRows, openTiny } from './testing.ts';

const model = await openTiny();
const data = demoRows(model, 'pirate.jsonl', 4);
const lora = { rank: 4, alpha: 8, dropout: 0, rslora: false, targets: ['q_proj'] };

useGpu();
let base: BaseModel;
beforeAll(async () => {
  base = await loadBase(model, testDevice());
});
afterAll(() => base.dispose());

test('the base model, and an adapter that changes nothing, have the loss of training', async () => {
  const bare = await startEvaluation(base, data, null);
  const { loss, trainedTokens } = await evaluateLoss(bare, data.train);
  expect(loss).toBeGreaterThan(0.5);
  expect(trainedTokens).toBe(data.train.flatMap(({ labels }) => labels.filter((label) => label >= 0)).length);
  await expect(bare.optimStep(1, DEFAULT_FINETUNE)).rejects.toThrow('without training');
  bare.dispose();

  const training = { ...DEFAULT_FINETUNE, steps: 1 };
  const run = await startRun(base, model, data, { lora, training, ...CONTEXT });
  const fresh = { baseModel: null, ...(await run.session.adapter()) };
  run.session.dispose();
  const adapted = await startEvaluation(base, data, fresh);
  // B starts at zero.
  expect((await evaluateLoss(adapted, data.train)).loss).toBeCloseTo(loss, 6);
  // Moved away from zero it counts, and scaled by 0 it does not.
  const moved = fresh.tensors.map((tensor) => ({
    ...tensor,
    data: tensor.data.map((value) => value + 0.05),
  }));
  adapted.dispose();
  const other = await startEvaluation(base, data, { ...fresh, tensors: moved });
  expect(Math.abs((await evaluateLoss(other, data.train)).loss - loss)).toBeGreaterThan(1e-3);
  expect((await evaluateLoss(other, data.train, 0)).loss).toBeCloseTo(loss, 6);
  other.dispose();
});
