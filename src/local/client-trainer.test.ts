/** There is one training path: through a client the loop gives the bits that it gives on the session itself. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createWarningSink } from '../api/warnings.ts';
import { DROPPING_LORA, HARD_TRAINING, temporaryStore } from '../checkpoints/testing-run.ts';
import { finetune, sessionTrainer, type BaseModel, type StepMetrics, type Trainer } from '../engine/index.ts';
import { testDevice, testInfo, useGpu } from '../engine/testing/gpu.ts';
import { loadBase } from '../run/load-base.ts';
import { startRun, type Run } from '../run/start-run.ts';
import { CONTEXT, demoFile, openTiny, PREPARE } from '../run/testing.ts';
import { prepareData } from '../run/prepare-data.ts';
import { clientOfRun } from './client-trainer.ts';
import { createLocalBackend } from './local-backend.ts';
import { testHost } from './testing-local.ts';

useGpu();
const model = await openTiny();
const prepared = prepareData(demoFile('pirate.jsonl'), model, { ...PREPARE, evalSplit: 0.2 });
const data = { ...prepared, train: prepared.train.slice(0, 9), evaluation: prepared.evaluation.slice(0, 3) };

let base: BaseModel;
let stored: Awaited<ReturnType<typeof temporaryStore>>;
beforeAll(async () => {
  base = await loadBase(model, testDevice());
  stored = await temporaryStore();
});
afterAll(async () => {
  base.dispose();
  await stored.remove();
});

interface Seen {
  metrics: object[];
  before: number[];
  tensors: Float32Array[];
}

async function train(
  trainerOf: (run: Run) => Promise<{ trainer: Trainer; close: () => Promise<void> }>,
): Promise<Seen> {
  const run = await startRun(base, model, data, { lora: DROPPING_LORA, training: HARD_TRAINING, ...CONTEXT });
  const { trainer, close } = await trainerOf(run);
  const seen: Seen = { metrics: [], before: [], tensors: [] };
  await finetune(trainer, data, run.training, {
    onEvaluation: (_, loss) => seen.before.push(loss),
    onStep: ({ step, loss, lr, gradNorm, tokens, trainedTokens, evalLoss }: StepMetrics) => {
      seen.metrics.push({ step, loss, lr, gradNorm, tokens, trainedTokens, evalLoss });
    },
  });
  seen.tensors = (await run.session.adapter()).tensors.map((tensor) => tensor.data);
  await close();
  run.session.dispose();
  return seen;
}

test('dropout, accumulation, schedule and evaluation: every bit is the same', async () => {
  const direct = await train((run) =>
    Promise.resolve({ trainer: sessionTrainer(run.session), close: () => Promise.resolve() }),
  );
  const backend = createLocalBackend({
    host: testHost(stored.store),
    userMetadata: null,
    warnings: createWarningSink(),
  });
  const gpu = { device: testDevice(), info: testInfo() };
  const through = await train((run) =>
    clientOfRun(backend, run, { base, model, gpu, writer: null, parentId: null }),
  );
  expect(through.metrics).toEqual(direct.metrics);
  expect(through.metrics.length).toBeGreaterThanOrEqual(3);
  expect(through.before).toEqual(direct.before);
  expect(through.tensors).toEqual(direct.tensors);
});
