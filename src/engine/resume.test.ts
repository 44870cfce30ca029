/**
 * A resumed run is the run: 12 steps straight against 7, everything read back, a new session, 5 more; every bit of the
 * adapter, the moments and the metrics. Negative controls: each piece left out must show.
 */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { TokenizedExample } from '../data/types.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import { bytesSource } from '../formats/bytes.ts';
import { openSafetensors } from '../formats/safetensors-read.ts';
import { loadBaseModel, type BaseModel } from './model/base-model.ts';
import { parseModelConfig } from './model/config.ts';
import { randomValues } from './testing/compare.ts';
import { testDevice, useGpu } from './testing/gpu.ts';
import type { AdapterStart } from './train/adapter-state.ts';
import { finetune, microBatchTokens, sessionTrainer, type RunPosition } from './train/finetune.ts';
import { TrainingSession } from './train/session.ts';
import { DEFAULT_FINETUNE, type FinetuneConfig, type StepMetrics } from './train/types.ts';

useGpu();

const settings: LoraSettings = {
  rank: 4,
  alpha: 8,
  dropout: 0.2,
  rslora: false,
  targetModules: ['down_proj', 'k_proj', 'q_proj', 'v_proj'],
  rankPattern: {},
  alphaPattern: {},
};

const config: FinetuneConfig = {
  ...DEFAULT_FINETUNE,
  steps: 12,
  batchSize: 2,
  gradAccumulation: 2,
  learningRate: 1e-2,
  schedule: 'cosine',
  warmupSteps: 3,
  weightDecay: 0.01,
  gradClip: 1,
  seed: 11,
};

/** 13 rows of different lengths: epochs end in the middle of steps. */
const rows: TokenizedExample[] = Array.from({ length: 13 }, (_, row) => {
  const length = 5 + ((row * 7) % 11);
  const inputIds = [...randomValues(row + 1, length)].map((value) => Math.floor((value + 1) * 99));
  return { inputIds, labels: inputIds.map((id, index) => (index < 3 ? -100 : id)) };
});
const data = { train: rows, evaluation: [] };

interface Saved {
  adapter: Adapter['tensors'];
  moments: Record<'expAvg' | 'expAvgSq', Adapter['tensors']>;
  position: RunPosition;
}

interface Outcome extends Saved {
  metrics: Pick<StepMetrics, 'step' | 'epoch' | 'loss' | 'lr' | 'gradNorm' | 'tokens' | 'trainedTokens'>[];
}

async function openModel(): Promise<BaseModel> {
  const folder = new URL('../../e2e/fixtures/parity/llama-bf16/', import.meta.url).pathname;
  const bytes = Uint8Array.from(await readFile(`${folder}model.safetensors`));
  return loadBaseModel(testDevice(), {
    config: parseModelConfig(JSON.parse(await readFile(`${folder}config.json`, 'utf8'))),
    tensors: await openSafetensors(bytesSource('model.safetensors', bytes)),
  });
}

/** Trains from a start to step `until` on a device state of its own. */
async function train(start: AdapterStart, from: RunPosition, until: number, used = config): Promise<Outcome> {
  const base = await openModel();
  const maxTokens = microBatchTokens(data, used);
  const session = await TrainingSession.create(base, { settings, start, maxTokens, evaluate: false });
  const metrics: Outcome['metrics'] = [];
  let position = from;
  const stop = new AbortController();
  await finetune(
    sessionTrainer(session),
    data,
    used,
    {
      onStep: ({ step, epoch, loss, lr, gradNorm, tokens, trainedTokens }, at) => {
        metrics.push({ step, epoch, loss, lr, gradNorm, tokens, trainedTokens });
        position = at;
        if (step === until) stop.abort();
      },
      signal: stop.signal,
    },
    from,
  );
  const outcome = {
    adapter: (await session.adapter()).tensors,
    moments: await session.moments(),
    position,
    metrics,
  };
  session.dispose();
  base.dispose();
  return outcome;
}

const fresh: RunPosition = { step: 0, rowsTaken: 0 };

test('a run that was stopped and resumed gives the same bits as the run that went through', async () => {
  const straight = await train({ seed: config.seed }, fresh, 12);
  const first = await train({ seed: config.seed }, fresh, 7);
  const { adapter: tensors, moments, position } = first;
  const second = await train({ tensors, moments }, position, 12);
  expect([...first.metrics, ...second.metrics]).toEqual(straight.metrics);
  expect(second.adapter).toEqual(straight.adapter);
  expect(second.moments).toEqual(straight.moments);
  expect(second.position).toEqual(straight.position);

  const without: [string, Promise<Outcome>][] = [
    ['moments', train({ tensors }, position, 12)],
    ['data position', train({ tensors, moments }, { ...position, rowsTaken: 0 }, 12)],
    ['seed', train({ tensors, moments }, position, 12, { ...config, seed: 12 })],
    ['schedule', train({ tensors, moments }, position, 12, { ...config, schedule: 'constant' })],
    ['step', train({ tensors, moments }, { ...position, step: 6 }, 12)],
  ];
  for (const [piece, run] of without)
    expect((await run).adapter, `without the ${piece}`).not.toEqual(straight.adapter);
});
