import { describe, expect, it } from 'vitest';
import { extractCheckpointArchive } from '../extract.ts';
import { NotFoundError } from '../errors.ts';
import {
  CheckpointExistsError,
  CheckpointNotFoundError,
  LoraConfigMismatchError,
  UnsupportedFeatureError,
} from '../own-errors.ts';
import { archiveOf, exchange, VERSIONS } from './testing-replay.ts';
import { firstClient, setUp } from './testing-remote.ts';

const released = (version: string): boolean => version === 'skyrl-0.3.0';

describe.each(VERSIONS)('checkpoints on %s', (version) => {
  it('saves states, keeps what the server does not, and says so', async () => {
    const { service, codes } = await setUp(version);
    const client = await firstClient(service);
    const metadata = { note: 'first', loss: 1.5 };
    const saved = await client.saveState('step-0001', { metadata, loopState: { step: 3 }, ttlSeconds: 60 });
    expect(saved).toEqual({
      path: 'tinker://model_00000001/weights/step-0001',
      type: 'save_weights',
      metadata,
      step: 3,
    });
    expect(codes()).toEqual(expect.arrayContaining(['USER_METADATA_KEPT_HERE', 'TTL_NOT_KEPT']));
    const info = await service.createRestClient().getWeightsInfo(saved.path);
    expect(info).toEqual({
      baseModel: 'tiny-qwen3',
      isLora: true,
      loraRank: 8,
      alpha: 32,
      trainMlp: true,
      trainAttn: true,
      trainUnembed: false,
    });
  });

  it('gives sampler saves the path of three segments', async () => {
    const { service } = await setUp(version);
    const client = await firstClient(service);
    expect(await client.saveWeightsForSampler('s1')).toEqual({
      path: 'tinker://model_00000001/sampler_weights/s1',
      type: 'save_weights_for_sampler',
    });
    // The recording answers the second save of a name as the server does.
    await expect(client.saveWeightsForSampler('s1')).rejects.toBeInstanceOf(CheckpointExistsError);
    const other = await setUp(version);
    const result = await (await firstClient(other.service)).saveWeightsForSamplerExt('s1');
    expect(result.snapshotName).toMatch(/^s1-[0-9a-f]{8}$/);
    await expect(client.saveWeightsForSampler('s1', { checkpointType: 'delta' })).rejects.toBeInstanceOf(
      UnsupportedFeatureError,
    );
  });

  it('rejects a name that is taken at once, on the first attempt', async () => {
    // The recording answers the first save of the name, then 409.
    const { service, server } = await setUp(version);
    const client = await firstClient(service);
    await client.saveState('step-0001');
    server.fault = ({ path }) =>
      path === 'save_weights' ? { status: 409, body: '{"detail":"already exists"}' } : null;
    const again = await client.saveState('step-0001').catch((error: unknown) => error);
    expect(again).toBeInstanceOf(CheckpointExistsError);
    expect(server.seen.filter(({ path }) => path.endsWith('save_weights'))).toHaveLength(2);
  });

  it('overwrites by deleting first where there is deletion, and refuses by name where not', async () => {
    const again = {
      method: 'POST',
      path: '/api/v1/save_weights',
      requestBody: { model_id: 'model_00000001', path: 'step-0001', overwrite: true },
      responseBody: { request_id: '17' },
    };
    const { service, server } = await setUp(version, {}, [again]);
    const client = await firstClient(service);
    let taken = true;
    server.fault = ({ path, method }) => {
      if (method === 'DELETE') taken = false;
      return path === 'save_weights' && taken ? { status: 409 } : null;
    };
    const saving = client.saveState('step-0001', { overwrite: true });
    const outcome = await saving.then(
      ({ path }) => path,
      (error: unknown) => error,
    );
    expect(released(version) ? (outcome as Error).name : outcome).toBe(
      released(version) ? 'UnsupportedFeatureError' : 'tinker://model_00000001/weights/step-0001',
    );
  });

  it('lists with ids of two parts, paths of three, times in UTC, in the order of saving', async () => {
    const { service, server } = await setUp(version);
    const rest = service.createRestClient();
    // The recording's later list, with both kinds.
    const both = exchange(version, 74);
    server.fault = ({ path }) =>
      path.endsWith('model_00000001/checkpoints')
        ? { status: 200, body: JSON.stringify(both.responseBody) }
        : null;
    const { checkpoints, cursor, nextPageToken } = await rest.listCheckpoints('model_00000001', {
      pageSize: 2,
    });
    expect(checkpoints.map(({ checkpointId }) => checkpointId)).toEqual([
      'weights/step-0001',
      'sampler_weights/s1',
    ]);
    expect(checkpoints[0]).toMatchObject({
      path: 'tinker://model_00000001/weights/step-0001',
      checkpointType: 'training',
      name: 'model_00000001/weights/step-0001',
      sequence: 1,
      promotable: false,
      storage: 'remote',
      state: 'complete',
    });
    expect(checkpoints[0]?.time).toMatch(/^2026-11-22T0[12]:\d\d:\d\d\.\d{6}Z$/);
    expect(cursor).toEqual({ offset: 0, limit: 2, totalCount: 3 });
    const rest2 = await rest.listCheckpoints('model_00000001', {
      pageSize: 2,
      ...(nextPageToken === undefined ? {} : { pageToken: nextPageToken }),
    });
    expect(rest2.checkpoints[0]).toMatchObject({
      checkpointId: 'sampler_weights/ss0_seq21',
      tags: ['ephemeral'],
    });
    expect(rest2.nextPageToken).toBeUndefined();
    await expect(rest.listCheckpoints('model_00000001', { pageToken: '-1' })).rejects.toThrow(
      'no page token',
    );
  });

  it('knows runs, and that an empty list may be of a run that does not exist', async () => {
    const { service } = await setUp(version);
    const rest = service.createRestClient();
    expect(await rest.getTrainingRun('model_00000001')).toMatchObject({
      trainingRunId: 'model_00000001',
      loraRank: 8,
      corrupted: false,
    });
    expect((await rest.listTrainingRuns()).cursor).toEqual({ offset: 0, limit: 20, totalCount: 1 });
    await expect(rest.getTrainingRun('model_0')).rejects.toBeInstanceOf(NotFoundError);
    await expect(rest.listCheckpoints('model_0')).rejects.toBeInstanceOf(NotFoundError);
    expect((await rest.listCheckpoints('model_00000001')).checkpoints).toEqual([]);
  });

  it('walks the runs where there is no list of all checkpoints', async () => {
    const { service } = await setUp(version);
    const { cursor } = await service.createRestClient().listUserCheckpoints();
    expect(cursor).toEqual({ offset: 0, limit: 100, totalCount: 0 });
  });

  it('deletes where it can, and refuses by name where not', async () => {
    const { service, codes } = await setUp(version);
    const rest = service.createRestClient();
    const path = 'tinker://model_00000001/weights/step-0001';
    const first = await rest.deleteCheckpointFromPath(path).then(
      () => 'deleted',
      (error: unknown) => error,
    );
    const second = await rest.deleteCheckpoint('model_00000001', 'weights/step-0001').then(
      () => 'deleted',
      (error: unknown) => error,
    );
    const kinds = [first, second].map((outcome) => (outcome instanceof Error ? outcome.name : outcome));
    expect(kinds).toEqual(
      released(version)
        ? ['UnsupportedFeatureError', 'UnsupportedFeatureError']
        : ['deleted', 'CheckpointNotFoundError'],
    );
    expect(codes().includes('NO_DELETE')).toBe(released(version));
  });

  it('refuses by name what these servers have not', async () => {
    const { service, server } = await setUp(version);
    const rest = service.createRestClient();
    await service.capabilities();
    const before = server.seen.length;
    const path = 'tinker://model_00000001/weights/step-0001';
    const calls = [
      rest.publish(path),
      rest.unpublish(path),
      rest.setCheckpointTtl(path, 3600),
      rest.searchCheckpoints(),
      rest.listSessions(),
      rest.getBillingUsage(),
      rest.whoami(),
      rest.getAuditLog(),
      rest.getCurrentCheckpointStorageUsage(),
      service.copyWeights(path),
      rest.listModels(),
      rest.importAdapter(new Map(), { name: 'x' }),
      rest.getCheckpointArchiveUrlFromPath(path),
      rest.downloadCheckpointArchive(path),
    ];
    for (const outcome of await Promise.allSettled<unknown>(calls)) {
      expect(outcome.status === 'rejected' && outcome.reason).toBeInstanceOf(UnsupportedFeatureError);
    }
    expect(server.seen.slice(before).filter(({ path: p }) => !p.endsWith('heartbeat'))).toEqual([]);
  });

  it('gives the address of an archive, and downloads and unpacks it', async () => {
    const { service } = await setUp(version);
    const rest = service.createRestClient();
    const path = 'tinker://model_00000001/sampler_weights/s1';
    const { url, expires } = await rest.getCheckpointArchiveUrlFromPath(path);
    expect(url).toMatch(/\/checkpoints\/s1\/download$/);
    expect(expires).toMatch(/^2026-11-22T0[34]:/);
    const progress: number[] = [];
    const { bytes, sha256, fileName, sizeBytes } = await rest.downloadCheckpointArchive(path, {
      onProgress: (done) => progress.push(done),
    });
    expect(fileName).toBe('model_00000001_s1.tar.gz');
    expect(bytes && Buffer.compare(bytes, archiveOf(version))).toBe(0);
    const recorded = (exchange(version, 77).responseBody as { $binary: { sha256: string } }).$binary;
    expect(sha256).toBe(recorded.sha256);
    expect(progress.at(-1)).toBe(sizeBytes);
    const files = new Map<string, number>();
    const target = {
      exists: (name: string) => files.has(name),
      write: async (name: string, content: AsyncIterable<Uint8Array>) => {
        let size = 0;
        for await (const chunk of content) size += chunk.byteLength;
        files.set(name, size);
      },
    };
    const written = await extractCheckpointArchive(bytes ?? new Uint8Array(), target);
    expect(written.map((file) => file.path).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
    ]);
    await expect(extractCheckpointArchive(bytes ?? new Uint8Array(), target)).rejects.toThrow(
      'is there already',
    );
    await extractCheckpointArchive(bytes ?? new Uint8Array(), target, { force: true });
  });

  it('waits while an archive is being built', async () => {
    const { service, server } = await setUp(version);
    server.fault = ({ path, count }) => (path.endsWith('/archive') && count <= 2 ? { status: 503 } : null);
    const path = 'tinker://model_00000001/sampler_weights/s1';
    expect((await service.createRestClient().getCheckpointArchiveUrlFromPath(path)).url).toContain(
      'download',
    );
    expect(server.seen.filter((s) => s.path.endsWith('/archive'))).toHaveLength(3);
  });

  it('loads states into clients of their own, with the flag always said', async () => {
    const { service, server, codes } = await setUp(version);
    const path = 'tinker://model_00000001/weights/step-0001';
    const client = await service.createLoraTrainingClient('tiny-qwen3', { rank: 8, seed: 1 });
    expect(client.runId).toBe('model_00000002');
    await client.loadStateWithOptimizer(path);
    expect(server.seen.find((s) => s.path.endsWith('load_weights'))?.body).toMatchObject({
      optimizer: true,
      seq_id: 1,
    });
    const other = await service.createLoraTrainingClient('tiny-qwen3', { rank: 8, seed: 2 });
    await other.loadState(path);
    expect(server.seen.findLast((s) => s.path.endsWith('load_weights'))?.body).toMatchObject({
      optimizer: false,
      seq_id: 1,
    });
    expect(codes().includes('OPTIMIZER_FLAG_IGNORED')).toBe(released(version));
  });

  it('names a rank that does not fit, and a checkpoint that is not there', async () => {
    const { service } = await setUp(version);
    const client = await service.createLoraTrainingClient('tiny-qwen3', { rank: 4, seed: 0 });
    const error = await client
      .loadStateWithOptimizer('tinker://model_00000001/weights/step-0001')
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LoraConfigMismatchError);
    expect(error).toMatchObject({ field: 'rank', expected: 4, actual: 8 });
    const rest = service.createRestClient();
    await expect(rest.getWeightsInfo('tinker://model_00000001/weights/nothing')).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
    await expect(
      service.createTrainingClientFromState('tinker://model_00000001/weights/nothing'),
    ).rejects.toBeInstanceOf(CheckpointNotFoundError);
  });
});
