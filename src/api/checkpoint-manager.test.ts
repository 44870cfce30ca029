import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { CheckpointManager } from './checkpoint-manager.ts';
import { memoryColdStore } from './cold-store.ts';
import { AdaptiveInterval, planRetention, unitsOf, type ManagedUnit } from './manager-policy.ts';
import type { ManagerOptions } from './manager-options.ts';
import { CheckpointCorruptError, OutputModelIdError, UnsupportedFeatureError } from './own-errors.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';
import type { Checkpoint } from './types.ts';
import type { LorikeetWarning } from './warnings.ts';

async function setUp(options: ManagerOptions = {}) {
  const backend = createBigramBackend();
  const warnings: LorikeetWarning[] = [];
  const service = new ServiceClient({ backend, onWarning: (w) => warnings.push(w), env: {} });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
  const names = (): string[] =>
    [...backend.store.checkpoints.keys()].map((path) => path.split('/').slice(-2).join('/'));
  return { backend, service, client, warnings, names, manager: new CheckpointManager(client, options) };
}

describe('a manager', () => {
  it('saves every so many steps, never at step 0, and really deletes the oldest', async () => {
    const { manager, names } = await setUp({ saveEvery: 2, maxCheckpoints: 2, kind: 'state' });
    const saved = [];
    for (let step = 0; step <= 8; step++) saved.push((await manager.maybeSave(step))?.name ?? null);
    expect(saved).toEqual([
      null,
      null,
      'step-000002',
      null,
      'step-000004',
      null,
      'step-000006',
      null,
      'step-000008',
    ]);
    expect(names()).toEqual(['weights/step-000006', 'weights/step-000008']);
  });

  it('saves both kinds unless told otherwise, with the position of the loop', async () => {
    const { manager, names, service, client } = await setUp({
      saveEvery: 1,
      loopState: () => ({ step: 0, nextBatch: 9 }),
      metadata: (step) => ({ at: step }),
    });
    const saved = await manager.maybeSave(3, { metrics: { loss: 2 } });
    expect(names()).toEqual(['weights/step-000003', 'sampler_weights/step-000003']);
    expect(saved).toMatchObject({
      step: 3,
      samplerPath: `lorikeet://${client.runId}/sampler_weights/step-000003`,
    });
    const loaded = await service.loadTrainingClient(saved?.path ?? '');
    expect(loaded.loopState).toEqual({ step: 3, nextBatch: 9 });
    expect(loaded.metadata).toEqual({ at: 3, metrics: { loss: 2 } });
  });

  it('knows its other names and triggers', async () => {
    let now = 0;
    const trlx = await setUp({ checkpointInterval: 3 });
    expect(trlx.manager.shouldSavePeriodic(3)).toBe(true);
    const fireworks = await setUp({ dcpSaveInterval: 4 });
    expect([3, 4].map((s) => fireworks.manager.shouldSavePeriodic(s))).toEqual([false, true]);
    const { manager } = await setUp({
      saveEvery: 0,
      saveEveryTokens: 100,
      saveEverySeconds: 60,
      saveEveryEpochs: 2,
      now: () => now,
    });
    expect(manager.shouldSavePeriodic(1, { tokens: 99, epoch: 1 })).toBe(false);
    expect(manager.shouldSavePeriodic(1, { tokens: 100 })).toBe(true);
    expect(manager.shouldSavePeriodic(1, { epoch: 2 })).toBe(true);
    now = 60_000;
    expect(manager.shouldSavePeriodic(1)).toBe(true);
    await manager.savePeriodic(1, { tokens: 100, epoch: 2 });
    expect(manager.shouldSavePeriodic(2, { tokens: 150, epoch: 3 })).toBe(false);
    expect((await setUp()).manager.shouldSavePeriodic(20)).toBe(true);
  });

  it('keeps the best by metric and direction: ties the earlier, NaN never', async () => {
    const { manager, names } = await setUp({
      saveEvery: 0,
      maxCheckpoints: 1,
      kind: 'state',
      saveBest: { metric: 'evalLoss', mode: 'min' },
    });
    const losses = [3, 2, NaN, 2, 1, 5];
    for (const [i, evalLoss] of losses.entries()) await manager.maybeSave(i + 1, { metrics: { evalLoss } });
    expect(names()).toEqual(['weights/step-000005']);
    expect(await manager.getBestCheckpoint()).toMatchObject({ step: 5, metrics: { evalLoss: 1 } });
    const { manager: accuracy } = await setUp({
      saveEvery: 1,
      kind: 'state',
      saveBest: { metric: 'acc', mode: 'max', keep: 1 },
      maxCheckpoints: 1,
    });
    for (const [i, acc] of [0.1, 0.9, 0.5].entries()) await accuracy.maybeSave(i + 1, { metrics: { acc } });
    expect((await accuracy.preview()).keep.map(({ name }) => name)).toEqual(['step-000002', 'step-000003']);
    expect((await accuracy.getBestCheckpoint('acc'))?.step).toBe(2);
  });

  it('keeps one rolling state, and a final one for good', async () => {
    const { manager, names } = await setUp({ saveEvery: 0, rollingSaveEvery: 1, kind: 'state' });
    for (let step = 1; step <= 3; step++) await manager.maybeSave(step);
    expect(names()).toEqual(['weights/rolling-3']);
    await manager.saveFinal(3);
    expect(names()).toEqual(['weights/final']);
  });

  it('makes a model of the final save where one is asked for, and checks its name first', async () => {
    const { manager, backend, client } = await setUp({ saveEvery: 0, outputModelId: 'pirate-1' });
    expect(await manager.saveFinal(3)).toMatchObject({ name: 'final', modelId: 'pirate-1' });
    expect(backend.store.models.get('pirate-1')).toBe(`lorikeet://${client.runId}/sampler_weights/final`);
    expect(() => new CheckpointManager(client, { outputModelId: 'Pirate 1' })).toThrow(OutputModelIdError);
    expect(() => new CheckpointManager(client, { outputModelId: 'p', kind: 'state' })).toThrow(
      'makes a model of sampler weights',
    );
  });

  it('never lets pinned, public, final ones or those of people go', async () => {
    const { manager, names, client, service } = await setUp({
      saveEvery: 1,
      maxCheckpoints: 1,
      kind: 'state',
    });
    const first = await manager.maybeSave(1);
    await manager.pin(first?.path ?? '');
    const second = await manager.savePeriodic(2);
    await service.createRestClient().publish(second.path);
    await client.saveState('mine');
    await manager.saveFinal(2);
    for (let step = 3; step <= 6; step++) await manager.maybeSave(step);
    expect(names()).toEqual(
      ['step-000001', 'step-000002', 'mine', 'final', 'step-000006'].map((n) => `weights/${n}`),
    );
    await manager.unpin(first?.path ?? '');
    const { remove, freedBytes } = await manager.preview();
    expect(remove.map(({ name }) => name)).toEqual(['step-000001']);
    expect(freedBytes).toBe(remove[0]?.bytes);
  });

  it('deletes nothing when the new one is not there or damaged', async () => {
    const { manager, backend, names } = await setUp({ saveEvery: 1, maxCheckpoints: 1, kind: 'state' });
    await manager.maybeSave(1);
    const list = backend.registry.listCheckpoints.bind(backend.registry);
    backend.registry.listCheckpoints = async (runId) =>
      (await list(runId)).map((row) => (row.step === 2 ? { ...row, state: 'corrupt' as const } : row));
    await expect(manager.maybeSave(2)).rejects.toBeInstanceOf(CheckpointCorruptError);
    expect(names()).toHaveLength(2);
    expect((await manager.getLatestCheckpoint())?.step).toBe(1);
    backend.registry.listCheckpoints = async (runId) => (await list(runId)).filter((row) => row.step !== 3);
    await expect(manager.maybeSave(3)).rejects.toThrow('is not listed; nothing was deleted');
    expect(names()).toHaveLength(3);
  });

  it('says when it cannot delete, and goes on', async () => {
    const { manager, backend, names, warnings } = await setUp({
      saveEvery: 1,
      maxCheckpoints: 1,
      kind: 'state',
    });
    backend.registry.deleteCheckpoint = () =>
      Promise.reject(new UnsupportedFeatureError({ feature: 'deleteCheckpoint', backend: 'it' }));
    for (let step = 1; step <= 4; step++) await manager.maybeSave(step);
    expect(names()).toHaveLength(4);
    expect(warnings.map(({ code }) => code)).toEqual(['RETENTION_FAILED']);
  });

  it('resumes from the newest, and comes by the same steps again without a clash', async () => {
    const { manager, client, names } = await setUp({
      saveEvery: 1,
      maxCheckpoints: null,
      kind: 'state',
      loopState: () => ({ step: 0, tokensSeen: 50 }),
    });
    expect(await manager.resumeLatest()).toBeNull();
    await manager.maybeSave(1);
    await manager.maybeSave(2);
    expect(await manager.resumeLatest()).toMatchObject({ step: 2, loopState: { step: 2, tokensSeen: 50 } });
    expect(client.step).toBe(0);
    await manager.maybeSave(2);
    expect(names()).toEqual(['weights/step-000001', 'weights/step-000002', 'weights/step-000002-2']);
  });

  it('saves in the background where asked, and finalize tells what failed', async () => {
    const { manager, backend, names } = await setUp({
      saveEvery: 1,
      kind: 'state',
      asyncPeriodicSaves: true,
    });
    expect(await manager.maybeSave(1)).toBeNull();
    await manager.finalize();
    expect(names()).toEqual(['weights/step-000001']);
    backend.before = (what) => {
      if (what === 'saveState') throw new Error('disk full');
    };
    await manager.maybeSave(2);
    await expect(manager.finalize()).rejects.toThrow('disk full');
  });

  it("follows Bios's example, and tells trackers without being failed by them", async () => {
    const checkpoint = vi.fn<() => void>();
    const broken = { metrics: () => Promise.reject(new Error('tracker down')) };
    const { manager, names, warnings } = await setUp({
      kind: 'state',
      maxCheckpoints: 5,
      trackers: [{ checkpoint }, broken],
    });
    for (let step = 500; step <= 3500; step += 500) await manager.saveCheckpoint(step);
    expect(names()).toHaveLength(5);
    expect((await manager.getLatestCheckpoint())?.name).toBe('auto_checkpoint_3500');
    expect(checkpoint).toHaveBeenCalledTimes(7);
    await manager.maybeSave(3501, { metrics: { loss: 1 } });
    await expect
      .poll(() => warnings.map(({ code }) => code), { timeout: 20_000 })
      .toEqual(['TRACKER_FAILED']);
  });

  it('refuses what it cannot do', async () => {
    const { client } = await setUp();
    expect(() => new CheckpointManager(client, { saveEvery: -1 })).toThrow('whole number');
    expect(() => new CheckpointManager(client, { maxCheckpoints: 0 })).toThrow('whole number from 1');
    expect(
      () => new CheckpointManager(client, { archiveTo: { store: memoryColdStore(), afterSteps: -1 } }),
    ).toThrow('archiveTo.afterSteps is -1');
  });
});

describe('the rules', () => {
  const row = (name: string, step: number, more: Partial<Checkpoint> = {}): Checkpoint => ({
    checkpointId: `weights/${name}`,
    checkpointType: 'training',
    time: '',
    path: `lorikeet://r/weights/${name}`,
    public: false,
    name,
    createTime: '',
    updateTime: '',
    encoding: 'base',
    promotable: false,
    sequence: step,
    step,
    sizeBytes: 10,
    pinned: false,
    state: 'complete',
    storage: 'local',
    ...more,
  });

  it('never let go what they protect, whatever the history', () => {
    const rows = fc.array(
      fc.record({
        step: fc.integer({ min: 1, max: 60 }),
        pinned: fc.boolean(),
        public: fc.boolean(),
        bad: fc.boolean(),
        loss: fc.double({ min: 0, max: 5 }),
      }),
      { minLength: 1, maxLength: 40 },
    );
    fc.assert(
      fc.property(
        rows,
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 0, max: 10 }),
        (list, maxCheckpoints, keepEvery) => {
          const steps = [...new Map(list.map((item) => [item.step, item])).values()];
          const losses = new Map(steps.map(({ step, loss }) => [`step-${String(step)}`, loss]));
          const units = unitsOf([
            ...steps.map(({ step, pinned, public: open, bad }) =>
              row(`step-${String(step)}`, step, {
                pinned,
                public: open,
                state: bad ? 'corrupt' : 'complete',
              }),
            ),
            row('final', 61),
            row('mine', 5),
          ]);
          const metric = (unit: ManagedUnit): number => losses.get(unit.name) ?? NaN;
          const best = { metric: 'loss', mode: 'min' as const, keep: 1 };
          const { remove, keep, freedBytes } = planRetention(
            units,
            { maxCheckpoints, keepEvery, best },
            new Set(),
            metric,
          );
          const gone = remove.flatMap((unit) => unit.rows);
          expect(gone.some((r) => r.pinned || r.public)).toBe(false);
          expect(keep.some(({ name }) => name === 'final')).toBe(true);
          expect([...remove, ...keep].some(({ name }) => name === 'mine')).toBe(false);
          const good = units.filter(
            (unit) => unit.role === 'periodic' && unit.rows.every(({ state }) => state === 'complete'),
          );
          expect(good.length === 0 || keep.includes(good.at(-1)!)).toBe(true);
          const values = good.map(metric).filter(Number.isFinite);
          const lowest = Math.min(...values);
          expect(values.length === 0 || keep.some((unit) => metric(unit) === lowest)).toBe(true);
          expect(freedBytes).toBe(10 * gone.length);
          const free = keep.filter(
            (unit) =>
              unit.role === 'periodic' &&
              unit.rows.every((r) => !r.pinned && !r.public) &&
              !(keepEvery > 0 && unit.step % keepEvery === 0),
          );
          expect(free.length).toBeLessThanOrEqual(maxCheckpoints + 1);
        },
      ),
    );
  });

  it('keep what a delta is based on', () => {
    const units = unitsOf([
      row('step-1', 1),
      row('step-2', 2, { encoding: 'delta', parentPath: 'lorikeet://r/weights/step-1' }),
    ]);
    const { remove } = planRetention(
      units,
      { maxCheckpoints: 1, keepEvery: 0, best: null },
      new Set(),
      () => NaN,
    );
    expect(remove).toEqual([]);
  });

  it('halve the interval when the loss jumps, and give it back after a calm time', () => {
    const adaptive = new AdaptiveInterval(20, { minEvery: 5, zThreshold: 3 });
    for (let i = 0; i < 50; i++) adaptive.observe(1 + 0.01 * Math.sin(i));
    expect(adaptive.interval).toBe(20);
    adaptive.observe(5);
    expect(adaptive.interval).toBe(10);
    adaptive.observe(NaN);
    adaptive.observe(NaN);
    expect(adaptive.interval).toBe(5);
    for (let i = 0; i < 100; i++) adaptive.observe(1);
    expect(adaptive.interval).toBe(20);
  });
});
