/** Checkpoints of this machine that a manager moves to a cold store, and back. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CheckpointManager } from '../api/checkpoint-manager.ts';
import { memoryColdStore, type ColdStore } from '../api/cold-store.ts';
import type { TrainingClient } from '../api/training-client.ts';
import { folderColdStore } from '../cli/cold-folder.ts';
import { useGpu } from '../engine/testing/gpu.ts';
import { SOME_DATA, testService, TINY_ID, type TestService } from './testing-local.ts';

useGpu();
let tests: TestService;
let folder = '';
beforeAll(async () => {
  tests = await testService();
  folder = await mkdtemp(join(tmpdir(), 'lorikeet-cold-'));
});
afterAll(async () => {
  await tests.remove();
  await rm(folder, { recursive: true });
});

const ADAM = { learningRate: 5e-3, gradClipNorm: 1 };

/** Three steps, each saved in both kinds, with room for one. */
async function moved(coldStore: ColdStore) {
  const client = await tests.service.createLoraTrainingClient(TINY_ID, {
    rank: 2,
    seed: 5,
    trainUnembed: false,
  });
  const manager = new CheckpointManager(client, {
    saveEvery: 1,
    maxCheckpoints: 1,
    archiveTo: { store: coldStore },
  });
  const path = `lorikeet://${client.runId}/weights/step-000001`;
  const wanted: number[][] = [];
  for (let step = 1; step <= 3; step++) {
    await client.train(SOME_DATA, 'cross_entropy', { adamParams: ADAM });
    client.loopState = { step, shuffleSeed: 11 };
    if (step === 1) {
      await client.saveState('apart');
      const apart = await tests.service.loadTrainingClient(`lorikeet://${client.runId}/weights/apart`);
      wanted.push(...(await trace(apart)));
      await apart.dispose();
      await tests.service.createRestClient().deleteCheckpoint(client.runId, 'weights/apart');
    }
    await manager.maybeSave(step, { metrics: { loss: step } });
  }
  return { client, manager, path, wanted };
}

/** What two more steps give: equal bits say that weights, moments and step are the same. */
async function trace(client: TrainingClient): Promise<number[][]> {
  const losses: number[][] = [];
  for (let i = 0; i < 2; i++) {
    const { loss, metrics } = await client.train(SOME_DATA, 'cross_entropy', { adamParams: ADAM });
    losses.push([loss, metrics['gradNorm'] ?? 0]);
  }
  return losses;
}

const hot = async (client: TrainingClient): Promise<string[]> => {
  const { items } = await tests.store.list({ runId: client.runId, limit: 100 });
  return [...items].reverse().map(({ kind, step }) => `${kind} ${String(step)}`);
};

test('move to a folder, are listed as cold, and come back to their place to the bit, with the client open', async () => {
  const { client, path, wanted } = await moved(folderColdStore(folder));
  expect(await hot(client)).toEqual(['full 3', 'sampler 3']);
  expect((await readdir(join(folder, client.runId, 'weights'))).sort()).toEqual(
    ['step-000001', 'step-000002'].flatMap((name) => [`${name}.archive`, `${name}.json`]),
  );
  const rest = tests.service.createRestClient();
  const rows = async () =>
    (await rest.listCheckpoints(client.runId)).checkpoints.map(
      ({ checkpointId, storage }) => `${checkpointId} ${storage}`,
    );
  expect(await rows()).toEqual([
    'weights/step-000001 cold',
    'sampler_weights/step-000001 cold',
    'weights/step-000002 cold',
    'sampler_weights/step-000002 cold',
    'weights/step-000003 local',
    'sampler_weights/step-000003 local',
  ]);
  const [before] = (await rest.listCheckpoints(client.runId)).checkpoints;
  const again = await tests.service.loadTrainingClient(path);
  expect([again.step, again.loopState]).toMatchObject([1, { step: 1, shuffleSeed: 11 }]);
  expect(await trace(again)).toEqual(wanted);
  await again.dispose();
  // Its row is what it was; the newest is still the newest.
  const [after] = (await rest.listCheckpoints(client.runId)).checkpoints;
  const { updateTime, verifiedAt, storage } = after ?? {};
  expect(after).toEqual({ ...before, updateTime, verifiedAt, storage });
  expect([before?.storage, storage]).toEqual(['cold', 'local']);
  const latest = await tests.service.loadTrainingClient(`lorikeet://${client.runId}/weights/@latest`);
  expect(latest.step).toBe(3);
  await latest.dispose();
  // A sampler's weights come back as well; the client that is open goes on saving.
  const sampler = await tests.service.createSamplingClient({
    modelPath: `lorikeet://${client.runId}/sampler_weights/step-000002`,
  });
  expect(sampler.snapshot).toBe(`lorikeet://${client.runId}/sampler_weights/step-000002`);
  await client.saveState('later');
  expect(await hot(client)).toEqual(['full 1', 'sampler 2', 'full 3', 'sampler 3', 'full 3']);
  await client.dispose();
});

test('come back in another program, also where the run itself is gone', async () => {
  const coldStore = memoryColdStore();
  const { client, path, wanted } = await moved(coldStore);
  const other = tests.another({ coldStore });
  // Another program writes the run: it is told, and nothing is taken in.
  await expect(other.loadTrainingClient(path)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  expect(await hot(client)).toEqual(['full 3', 'sampler 3']);
  await client.dispose();
  await tests.store.removeRun(client.runId);
  await tests.store.emptyBin((await tests.store.bin()).map(({ id }) => id));
  const again = await other.loadTrainingClient(path);
  expect(await trace(again)).toEqual(wanted);
  expect(await hot(client)).toEqual(['full 1']);
  await again.dispose();
});

test('are refused whole where archive or record is damaged or its time is over', async () => {
  const store = folderColdStore(join(folder, 'second'));
  const { client, path } = await moved(store);
  const key = `${client.runId}/weights/step-000001`;
  await writeFile(join(folder, 'second', `${key}.archive`), 'no archive');
  await expect(client.loadStateWithOptimizer(path)).rejects.toMatchObject({ code: 'CHECKPOINT_DAMAGED' });
  expect(await hot(client)).toEqual(['full 3', 'sampler 3']);
  const second = join(folder, 'second', `${client.runId}/weights/step-000002.json`);
  const record = JSON.parse(await readFile(second, 'utf8')) as { row: object };
  for (const changes of [{ pinned: 'yes' }, { sequence: null }, { expiresAt: '2020-01-01T00:00:00Z' }]) {
    await writeFile(second, JSON.stringify({ ...record, row: { ...record.row, ...changes } }));
    await expect(client.loadState('step-000002')).rejects.toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' });
    expect(await client.listCheckpoints()).not.toContain('step-000002');
  }
  await writeFile(second, JSON.stringify(record));
  await client.loadStateWithOptimizer('step-000002');
  expect(client.step).toBe(2);
  await expect(store.put('../../outside', new ReadableStream())).rejects.toThrow('lies outside');
  expect(await store.list('nothing/')).toEqual([]);
  await client.dispose();
});
