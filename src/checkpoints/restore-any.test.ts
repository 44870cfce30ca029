import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_FINETUNE, layoutAdapter, scheduleFactor } from '../engine/index.ts';
import { memoryFileSet, type FileSet } from '../formats/file-set.ts';
import type { HfTrainerRead } from '../formats/hf-trainer.ts';
import { stateEntries } from '../formats/state-files.ts';
import { adapterFiles, testAdapter } from '../formats/testing-adapter.ts';
import { adapter as trainerAdapter, exported, filesOf } from '../formats/testing-hf.ts';
import { testMoments } from '../formats/testing-state.ts';
import { codeOf, collect } from '../formats/testing.ts';
import { checkResume } from '../run/restore.ts';
import { flattenSettings, readSettings } from '../run/run-settings.ts';
import { demoRows, openTiny } from '../run/testing.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { exportEntries } from './export-checkpoint.ts';
import { restoreAny } from './restore-any.ts';
import { restoredFromTrainer } from './resume-trainer.ts';
import { temporaryStore } from './testing-run.ts';
import { saveInto, wholeCheckpoint } from './testing-stored.ts';

let store: CheckpointStore;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ store, remove } = await temporaryStore());
});
afterAll(() => remove());

const trainer = async (changes: Parameters<typeof exported>[0] = {}): Promise<FileSet> =>
  memoryFileSet(
    'checkpoint-10',
    new Map([
      ...Array.from(await adapterFiles(trainerAdapter), ([name, bytes]) => [`c/${name}`, bytes] as const),
      ...Array.from(await filesOf(exported(changes)), ([name, bytes]) => [`c/${name}`, bytes] as const),
    ]),
  );

describe('a checkpoint of any kind', () => {
  test('a whole one of ours, and what it becomes for a Trainer: the same weights, moments, step and rate', async () => {
    const [saved] = await saveInto(store, 'pirates', [await wholeCheckpoint({}, 0, { metrics: [] })]);
    const stored = await store.open(saved?.id ?? '');
    const ours = await restoreAny(stored.files());
    if (ours.kind !== 'full') throw new Error(ours.kind);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const entry of await exportEntries(stored, { kind: 'hf-trainer' })) {
      files.set(entry.path, await collect(entry.chunks()));
    }
    const theirs = await restoreAny(memoryFileSet('export', files));
    if (theirs.kind !== 'hf-trainer') throw new Error(theirs.kind);
    const { state, adapter } = ours.restored;
    expect(theirs.adapter.tensors).toEqual(adapter.tensors);
    expect(theirs.hf.moments).toEqual(state.moments);
    expect(theirs.hf).toMatchObject({ step: state.step, optimizerStep: state.optimizer.step, notes: [] });
    const { type, params, position } = state.scheduler;
    const rate = params.learningRate * scheduleFactor({ name: type, ...params }, position);
    expect(theirs.hf.learningRate).toBe(rate);
    const fitted = theirs.hf.peakLearningRate * scheduleFactor(theirs.schedule, position);
    expect(Math.abs(fitted - rate)).toBeLessThan(1e-12);
  });

  test.each<[string, () => Promise<FileSet>, string]>([
    [
      'an adapter alone',
      async () => memoryFileSet('a', await adapterFiles(testAdapter())),
      'STATE_INCOMPLETE',
    ],
    ['a schedule that cannot be told', () => trainer({ learningRate: 1.234e-4 }), 'STATE_UNSUPPORTED'],
  ])('%s is refused', async (_, files, code) => {
    expect(await codeOf(async () => restoreAny(await files()))).toBe(code);
  });
});

describe('a run out of a Trainer checkpoint', async () => {
  const model = await openTiny();
  const data = demoRows(model, 'pirate.jsonl', 6);
  const lora = testAdapter().settings;
  const { modules } = layoutAdapter(model.config, { ...lora, targetModules: ['q_proj'] });
  const adapter = testAdapter(
    {},
    Object.fromEntries(modules.map(({ path, in: from, out }) => [path, [from, out] as const])),
  );
  const settings = {
    data: data.preparation,
    training: { ...DEFAULT_FINETUNE, batchSize: 2, gradAccumulation: 2, gradClip: 1, seed: 5 },
  };
  const hf = (changes: Partial<HfTrainerRead> = {}): HfTrainerRead => {
    // Halfway down a line.
    const { adapter: _, ...state } = exported({ moments: testMoments(adapter) }, adapter);
    return { ...state, notes: [], ...changes };
  };
  const restored = (changes: Partial<HfTrainerRead> = {}) =>
    restoredFromTrainer({ adapter }, hf(changes), settings, { model, data });

  test('stands where the Trainer stood, and passes every check of a resumption', async () => {
    const run = restored();
    expect(run.adapter.tensors).toBe(adapter.tensors);
    expect(run.state).toMatchObject({
      step: 10,
      optimizer: { step: 10, betas: [0.9, 0.95], eps: 1e-12, weightDecay: 0.01, gradClip: 1 },
      scheduler: { type: 'linear', params: { learningRate: 1e-3, totalSteps: 20 }, position: 10 },
      // 40 rows were taken of 6: six passes, and four rows of the seventh.
      data: { epoch: 6, offset: 4, rows: 6 },
      tokens: 1000,
    });
    expect(readSettings(flattenSettings(run.settings))).toEqual(run.settings);
    const { training } = run.settings;
    checkResume(run, {
      model,
      settings: run.settings,
      lora: run.adapter.settings,
      data: { rows: 6, sha256: run.state.data.datasetSha256 },
      maxTokens: Number(run.state.data.packing.split('/')[1]),
      steps: training.steps ?? 0,
      device: 'test',
      appVersion: '0.0.0',
    });
    // What is saved of it is read back: the state is sound.
    const entries = stateEntries(run.state, run.adapter);
    expect((await collect(entries[0]?.chunks() ?? [])).byteLength).toBeGreaterThan(0);
  });

  test('keeps the log, evaluations between steps and entries out of order included', () => {
    const log = [
      { step: 10, eval_loss: 1.2, epoch: 0.5 },
      { step: 9, loss: 1.5, grad_norm: 2, learning_rate: 5.5e-4, epoch: 0.45 },
      { step: 10, train_runtime: 5 },
    ];
    const run = restored({ log });
    expect(run.state.metrics).toEqual([
      { step: 9, loss: 1.5, gradNorm: 2, lr: 5.5e-4, epoch: 0.45 },
      { step: 10, evalLoss: 1.2, epoch: 0.5 },
    ]);
    expect(stateEntries(run.state, run.adapter)).not.toHaveLength(0);
  });

  test.each<[string, Partial<HfTrainerRead>, string]>([
    ['a complete run', { step: 20, optimizerStep: 20, learningRate: 0 }, 'OPTION_INVALID'],
    ['steps that the optimizer was left out of', { step: 11 }, 'STATE_UNSUPPORTED'],
    ['a schedule that cannot be told', { learningRate: 1.234e-4 }, 'STATE_UNSUPPORTED'],
  ])('%s is refused by name', async (_, changes, code) => {
    expect(await codeOf(() => restored(changes))).toBe(code);
  });
});
