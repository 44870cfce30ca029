import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BaseModel, StepMetrics } from '../engine/index.ts';
import { testDevice, useGpu } from '../engine/testing/gpu.ts';
import type { ErrorFields } from '../errors.ts';
import { snapshotSession } from '../run/capture.ts';
import { loadBase } from '../run/load-base.ts';
import { restoreRun } from '../run/restore.ts';
import { startRun, type Run } from '../run/start-run.ts';
import { CONTEXT, demoRows, openTiny } from '../run/testing.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { RunSaver, type SavedEvent } from './run-saver.ts';
import { checkpointName, DEFAULT_SAVE_POLICY, dueTriggers, type SavePolicy } from './save-policy.ts';
import { DROPPING_LORA, HARD_TRAINING, temporaryStore } from './testing-run.ts';
import { beginRun, continueRun, findCheckpoint, writerOf } from './training-run.ts';

const model = await openTiny();
const data = demoRows(model, 'pirate.jsonl', 5);
const OFF: SavePolicy = {
  ...DEFAULT_SAVE_POLICY,
  everyMinutes: 0,
  best: null,
  final: false,
  retention: {},
};

useGpu();
let base: BaseModel;
let run: Run;
let store: CheckpointStore;
let remove: () => Promise<void>;
beforeAll(async () => {
  base = await loadBase(model, testDevice());
  const training = { ...HARD_TRAINING, steps: 1000 };
  const lora = { ...DROPPING_LORA, rank: 2, targets: ['v_proj'] };
  run = await startRun(base, model, data, { lora, training, ...CONTEXT });
  ({ store, remove } = await temporaryStore());
});
afterAll(async () => {
  run.session.dispose();
  base.dispose();
  await remove();
});

const figures = (step: number, more: Partial<StepMetrics> = {}): StepMetrics => ({
  step,
  epoch: step / 5,
  loss: 2 - step / 100,
  lr: 1e-3,
  gradNorm: 1,
  tokens: 40,
  trainedTokens: 20,
  seconds: step,
  tokensPerSecond: 40,
  memoryBytes: 1,
  ...more,
});

let runs = 0;
/** A saver on a run of its own; the session does not train here, only its state is saved. */
async function saverWith(policy: Partial<SavePolicy>, now?: () => number) {
  runs += 1;
  const opened = await beginRun(store, { name: `run ${String(runs)}` });
  const saved: SavedEvent[] = [];
  const failed: ErrorFields[] = [];
  run.log.records = [];
  run.log.best = null;
  const saver = new RunSaver({
    store,
    writer: opened.writer,
    run,
    policy: { ...OFF, ...policy },
    parentId: null,
    onSaved: (event) => saved.push(event),
    onFailed: (error) => failed.push(error),
    ...(now === undefined ? {} : { now }),
  });
  const step = (number: number, more: Partial<StepMetrics> = {}) =>
    saver.observe(figures(number, more), { step: number, rowsTaken: 4 * number });
  const names = async () =>
    (await store.list({ runId: opened.run.id, sort: 'saved', order: 'asc' })).items.map(({ name }) => name);
  return { saver, step, saved, failed, names, opened };
}

describe('a run saves itself', () => {
  test('every so many steps, and when so many minutes have passed', async () => {
    let minutes = 0;
    const { saver, step, names } = await saverWith(
      { everySteps: 3, everyMinutes: 5 },
      () => minutes * 60_000,
    );
    for (const number of [1, 2, 3, 4]) await step(number);
    await saver.settle();
    minutes = 5;
    await step(5);
    await step(6);
    await saver.settle();
    expect(await names()).toEqual(['step-000003', 'step-000005', 'step-000006']);
  });

  test('when it is better than ever; equal and NaN are not', async () => {
    const { saver, step, names } = await saverWith({ best: { metric: 'evalLoss', direction: 'min' } });
    const losses = [2, 1.5, 1.5, NaN, 1.6, 1.2];
    for (const [i, evalLoss] of losses.entries()) await step(i + 1, { evalLoss });
    await saver.settle();
    expect(await names()).toEqual(['best-000001', 'best-000002', 'best-000006']);
    const [, , best] = (await store.list({ text: 'best', order: 'asc' })).items;
    const { state } = await restoreRun((await store.open(best?.id ?? '')).files());
    expect(state.best).toEqual({
      metric: 'evalLoss',
      mode: 'min',
      value: 1.2,
      step: 6,
      checkpoint: 'best-000006',
    });
  });

  test('into one rolling checkpoint', async () => {
    const { saver, step, names } = await saverWith({ rollingSteps: 1 });
    for (const number of [1, 2, 3]) await step(number);
    await saver.settle();
    expect(await names()).toEqual(['rolling-000003']);
    expect(await store.bin()).toEqual([]);
  });

  test('at a pause, unless this step is saved already; at the end; and what is asked for by hand stays', async () => {
    const { saver, step, names, saved } = await saverWith({
      everySteps: 2,
      final: true,
      retention: { keepLatest: 1 },
    });
    await step(1);
    const { checkpoint } = await saver.save('manual', { name: 'mine', note: 'before the storm' });
    expect(checkpoint).toMatchObject({ name: 'mine', pinned: true, note: 'before the storm', step: 1 });
    await step(2);
    await saver.saveUnlessSaved('pause');
    await step(3);
    await saver.saveUnlessSaved('hidden');
    await saver.finish('done');
    expect(await names()).toEqual(['mine', 'final']);
    expect(saved.map(({ trigger }) => trigger)).toEqual(['manual', 'steps', 'hidden', 'final']);
    expect(saved.at(-1)?.checkpoint.parentId).toBe(saved.at(-2)?.checkpoint.id);
    for (const { stallMs } of saved) expect(stallMs).toBeGreaterThanOrEqual(0);
  });

  test('as differences where that is wanted, whole again after ten', async () => {
    const { saver, step, saved } = await saverWith({ everySteps: 1, delta: true });
    for (let number = 1; number <= 13; number++) await step(number);
    await saver.settle();
    const whole = saved.flatMap(({ checkpoint }) => (checkpoint.delta === null ? [checkpoint.step] : []));
    expect(whole).toEqual([1, 12]);
    const { adapter } = await restoreRun((await store.open(saved[5]?.checkpoint.id ?? '')).files());
    expect(adapter.tensors).toEqual((await snapshotSession(run.session)).tensors);
  });
});

describe('a save that fails', () => {
  test('by rule is told, and the run goes on; by hand it rejects', async () => {
    const { saver, step, failed, names } = await saverWith({ everySteps: 1 });
    await step(1);
    await saver.settle();
    await expect(saver.save('manual', { name: 'step-000001' })).rejects.toMatchObject({
      code: 'CHECKPOINT_EXISTS',
    });
    await expect(saver.save('manual', { name: 'with space' })).rejects.toMatchObject({
      code: 'CHECKPOINT_NAME',
    });
    expect(failed).toEqual([]);
    await step(2);
    await saver.settle();
    expect(await names()).toEqual(['step-000001', 'step-000002']);
  });

  test('130: values that have run away are never saved, and what was saved stays', async () => {
    const { saver, step, failed, names, opened } = await saverWith({ everySteps: 1 });
    await step(1);
    await saver.settle();
    const { params } = run.session.state;
    const before = await snapshotSession(run.session);
    testDevice().queue.writeBuffer(params, 0, new Float32Array([NaN, 1, 1, 1]));
    await step(2);
    await saver.settle();
    expect(failed.map(({ code }) => code)).toEqual(['LOSS_NOT_FINITE']);
    expect(await names()).toEqual(['step-000001']);
    const first = before.tensors[0]?.data[0] ?? 0;
    testDevice().queue.writeBuffer(params, 0, new Float32Array([first]));
    await opened.writer.release();
    await step(3);
    await saver.settle();
    expect(failed.at(-1)?.code).toBe('STORE_LOCKED');
  });
});

describe('a run in the store', () => {
  test('is found by name, from its newest good checkpoint, and has one writer', async () => {
    const { saver, step, opened } = await saverWith({ everySteps: 1 });
    await step(1);
    await step(2);
    await saver.settle();
    const { run: record } = opened;
    expect((await findCheckpoint(store, record.name)).record.name).toBe('step-000002');
    const earlier = await findCheckpoint(store, `${record.name}/step-000001`);
    expect(earlier.record.step).toBe(1);
    await expect(writerOf(store, record.id)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    await opened.writer.release();
    const fork = await continueRun(store, earlier);
    expect(fork.run.name).toBe(`${record.name}-fork`);
    expect(fork.parentId).toBe(earlier.record.id);
    await fork.writer.release();
    const same = await continueRun(store, await findCheckpoint(store, record.name));
    expect(same.run.id).toBe(record.id);
    await same.writer.release();
  });
});

test('the rules in order: the first names the save', () => {
  const policy: SavePolicy = {
    ...DEFAULT_SAVE_POLICY,
    everySteps: 2,
    everyMinutes: 1,
    rollingSteps: 2,
  };
  expect(dueTriggers(policy, { step: 2, isBest: true, minutesSinceSave: 1 })).toEqual([
    'best',
    'steps',
    'minutes',
    'rolling',
  ]);
  expect(dueTriggers(OFF, { step: 2, isBest: true, minutesSinceSave: 99 })).toEqual([]);
  expect(checkpointName('minutes', 7)).toBe('step-000007');
});
