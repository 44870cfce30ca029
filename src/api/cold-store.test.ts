import { afterEach, describe, expect, it } from 'vitest';
import { CheckpointManager } from './checkpoint-manager.ts';
import { memoryColdStore, streamOf, type ColdStore } from './cold-store.ts';
import type { ManagerOptions } from './manager-options.ts';
import { CheckpointCorruptError, CheckpointNotFoundError, UnsupportedFeatureError } from './own-errors.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend, type BigramBackend } from './testing-bigram-backend.ts';
import { FAST } from './remote/testing-replay.ts';
import { startTinkerServer, type TinkerServer } from './remote/testing-tinker-server.ts';
import type { TrainingClient } from './training-client.ts';
import type { Datum } from './types.ts';
import type { LorikeetWarning } from './warnings.ts';

const DATA: Datum[] = [
  {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2, 3] }] },
    lossFnInputs: { targetTokens: [2, 3, 1] },
  },
];
const ADAM = { learningRate: 0.1 };

async function setUp(
  options: ManagerOptions = {},
  given: ColdStore = memoryColdStore(),
  backend = createBigramBackend(),
) {
  const warnings: LorikeetWarning[] = [];
  const service = new ServiceClient({ backend, env: {}, onWarning: (w) => warnings.push(w) });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
  const archiveTo = { store: given, ...options.archiveTo };
  const manager = new CheckpointManager(client, { saveEvery: 1, maxCheckpoints: 1, ...options, archiveTo });
  return {
    backend,
    service,
    client,
    manager,
    warnings,
    rest: service.createRestClient(),
    hot: () => hot(backend),
  };
}

const hot = (backend: BigramBackend): string[] =>
  [...backend.store.checkpoints.keys()].map((path) => path.split('/').slice(3).join('/'));

async function train(client: TrainingClient, manager: CheckpointManager, steps: number): Promise<void> {
  for (let i = 0; i < steps; i++) {
    await client.train(DATA, 'cross_entropy', { adamParams: ADAM });
    await manager.maybeSave(client.step, { metrics: { loss: client.step } });
  }
}

/** What the next steps give: equal bits say that weights, moments and step are the same. */
async function trace(client: TrainingClient): Promise<number[]> {
  const losses: number[] = [];
  for (let i = 0; i < 2; i++)
    losses.push((await client.train(DATA, 'cross_entropy', { adamParams: ADAM })).loss);
  return losses;
}

describe('a manager with a cold store', () => {
  it('moves there what its rules let go, lists it as cold, and loads bring it back to the bit', async () => {
    const store = memoryColdStore();
    const { client, manager, service, rest, hot: names } = await setUp({ kind: 'both' }, store);
    await train(client, manager, 1);
    const first = await service.loadTrainingClient(`lorikeet://${client.runId}/weights/step-000001`);
    const wanted = await trace(first);
    await train(client, manager, 2);
    expect(names()).toEqual(['weights/step-000003', 'sampler_weights/step-000003']);
    const { checkpoints } = await rest.listCheckpoints(client.runId);
    expect(checkpoints.map(({ checkpointId, storage }) => `${checkpointId} ${storage}`)).toEqual([
      'weights/step-000001 cold',
      'sampler_weights/step-000001 cold',
      'weights/step-000002 cold',
      'sampler_weights/step-000002 cold',
      'weights/step-000003 local',
      'sampler_weights/step-000003 local',
    ]);
    expect(await client.listCheckpoints()).toEqual(['step-000001', 'step-000002', 'step-000003']);
    const again = await service.loadTrainingClient(`lorikeet://${client.runId}/weights/step-000001`);
    expect([again.step, again.metadata]).toEqual([1, { metrics: { loss: 1 } }]);
    expect(await trace(again)).toEqual(wanted);
    // It is where it was; the bare name, a sampler and a download find the others.
    expect(names()).toContain('weights/step-000001');
    await client.loadStateWithOptimizer('step-000002');
    expect(client.step).toBe(2);
    const path = `lorikeet://${client.runId}/sampler_weights/step-000002`;
    expect((await service.createSamplingClient({ modelPath: path })).snapshot).toBe(path);
    const cold = `lorikeet://${client.runId}/sampler_weights/step-000001`;
    expect((await rest.downloadCheckpointArchive(cold)).sizeBytes).toBeGreaterThan(0);
  });

  it('moves what it keeps once that is old, but never the newest state, nor what is pinned or public', async () => {
    let now = Date.now();
    const {
      client,
      manager,
      rest,
      hot: names,
    } = await setUp({
      kind: 'state',
      maxCheckpoints: null,
      archiveTo: { store: memoryColdStore(), afterSteps: 3 },
      now: () => now,
    });
    await train(client, manager, 2);
    await manager.pin(`lorikeet://${client.runId}/weights/step-000001`);
    await rest.publish(`lorikeet://${client.runId}/weights/step-000002`);
    await train(client, manager, 4);
    expect(names()).toEqual([1, 2, 4, 5, 6].map((i) => `weights/step-00000${String(i)}`));
    const aged = await setUp({
      kind: 'state',
      maxCheckpoints: null,
      archiveTo: { store: memoryColdStore(), afterSeconds: 60 },
      now: () => now,
    });
    now = 1_700_000_000_000;
    await train(aged.client, aged.manager, 2);
    now += 3_600_000;
    const { archive, remove, freedBytes } = await aged.manager.preview();
    expect([archive?.map(({ name }) => name), remove]).toEqual([['step-000001'], []]);
    expect(freedBytes).toBe(archive?.[0]?.bytes);
    expect(aged.hot()).toHaveLength(2);
  });

  it('resumes from the best although its bytes lie there, also in another program', async () => {
    const store = memoryColdStore();
    const { backend, client, manager } = await setUp({ kind: 'state' }, store);
    await train(client, manager, 3);
    expect(await manager.getBestCheckpoint('loss')).toMatchObject({ step: 1, metrics: { loss: 1 } });
    const path = `lorikeet://${client.runId}/weights/step-000001`;
    const without = new ServiceClient({ backend, env: {}, onWarning: () => undefined });
    await expect(without.loadTrainingClient(path)).rejects.toBeInstanceOf(CheckpointNotFoundError);
    const other = new ServiceClient({ backend, coldStore: store, env: {}, onWarning: () => undefined });
    expect((await other.loadTrainingClient(path)).step).toBe(1);
  });

  it('leaves a checkpoint where it is when the store fails or gives back something else', async () => {
    const failing = memoryColdStore();
    const broken: ColdStore = {
      ...failing,
      put: async (key, body) => {
        if (key.endsWith('.archive')) throw new Error('the bucket is gone');
        await failing.put(key, body);
      },
    };
    const { client, manager, warnings, hot: names } = await setUp({ kind: 'state' }, broken);
    await train(client, manager, 2);
    expect(names()).toHaveLength(2);
    expect(warnings).toMatchObject([
      { code: 'RETENTION_FAILED', message: expect.stringContaining('the bucket is gone') as string },
    ]);
    const lossy = memoryColdStore();
    const cut: ColdStore = { ...lossy, put: (key) => lossy.put(key, streamOf(new Uint8Array([1, 2, 3]))) };
    const second = await setUp({ kind: 'state' }, cut);
    await train(second.client, second.manager, 2);
    expect(second.hot()).toHaveLength(2);
    expect(second.warnings[0]?.message).toContain('is not what was put there');
  });

  it('refuses an archive that was damaged there, and takes nothing of it', async () => {
    const store = memoryColdStore();
    const { client, manager, hot: names } = await setUp({ kind: 'state' }, store);
    await train(client, manager, 2);
    const key = [...store.kept.keys()].find((k) => k.endsWith('.archive')) ?? '';
    const bytes = Uint8Array.from(store.kept.get(key) ?? []);
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    await store.put(key, streamOf(bytes));
    const error = await client.loadState('step-000001').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CheckpointCorruptError);
    expect((error as CheckpointCorruptError).files).toEqual([key]);
    expect(names()).toEqual(['weights/step-000002']);
    await store.delete(key);
    await expect(client.loadState('step-000001')).rejects.toBeInstanceOf(CheckpointCorruptError);
    await store.put(key.replace('.archive', '.json'), streamOf(new TextEncoder().encode('{"version":9')));
    await expect(client.loadState('step-000001')).rejects.toBeInstanceOf(CheckpointNotFoundError);
  });

  it('deletes there as well', async () => {
    const store = memoryColdStore();
    const { client, manager, rest } = await setUp({ kind: 'state' }, store);
    await train(client, manager, 2);
    expect(store.kept.size).toBe(2);
    await rest.deleteCheckpoint(client.runId, 'weights/step-000001');
    expect(store.kept.size).toBe(0);
    await expect(rest.deleteCheckpoint(client.runId, 'weights/step-000001')).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
  });
});

describe('a server', () => {
  let server: TinkerServer | null = null;
  afterEach(() => server?.close());

  it('whose training states cannot be taken out has no cold store, and says so', async () => {
    server = await startTinkerServer({ parallel_fwdbwd_chunks: true });
    const backend = { baseUrl: server.url, timing: FAST };
    const service = new ServiceClient({ backend, env: {}, onWarning: () => undefined });
    const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
    const archiveTo = { store: memoryColdStore() };
    expect(() => new CheckpointManager(client, { archiveTo })).toThrow(UnsupportedFeatureError);
    const other = new ServiceClient({
      backend,
      coldStore: archiveTo.store,
      env: {},
      onWarning: () => undefined,
    });
    await expect(other.getServerCapabilities()).rejects.toBeInstanceOf(UnsupportedFeatureError);
    await service.close();
  });
});
