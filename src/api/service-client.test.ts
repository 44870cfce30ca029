import { afterEach, describe, expect, it, vi } from 'vitest';
import { BadRequestError, ConflictError } from './errors.ts';
import {
  getLastCheckpoint,
  loadCheckpointsFile,
  saveCheckpoint,
  type TextFiles,
} from './checkpoints-file.ts';
import { setLocalBackendFactory } from './local-seam.ts';
import {
  BaseModelMismatchError,
  CheckpointNotFoundError,
  ClientClosedError,
  NotPromotableError,
  OutputModelIdError,
  UnsupportedFeatureError,
} from './own-errors.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';
import { mlflow } from './tracker.ts';
import { createWarningSink, type LorikeetWarning } from './warnings.ts';
import { WeightSyncer } from './weight-syncer.ts';

async function setUp() {
  const backend = createBigramBackend();
  const warnings: LorikeetWarning[] = [];
  const service = new ServiceClient({
    backend,
    onWarning: (w) => warnings.push(w),
    env: {},
    tokenizer: async () => ({
      encode: (text) => Array.from(text, Number),
      decode: (tokens) => tokens.join(''),
    }),
  });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
  return {
    backend,
    service,
    client,
    rest: service.createRestClient(),
    warnings,
    codes: () => warnings.map(({ code }) => code),
  };
}

afterEach(() => setLocalBackendFactory(null));

describe('a service', () => {
  it('chooses its backend by one option, or by the environment', async () => {
    await expect(new ServiceClient({ env: {} }).getServerCapabilities()).rejects.toBeInstanceOf(
      UnsupportedFeatureError,
    );
    setLocalBackendFactory(() => createBigramBackend());
    expect((await new ServiceClient({ env: {} }).getServerCapabilities()).supportedModels[0]?.modelName).toBe(
      'bigram',
    );
    const seen: [string, string | null][] = [];
    const fetch: typeof globalThis.fetch = async (url, init) => {
      seen.push([url as string, new Headers(init?.headers).get('x-api-key')]);
      return Response.json({ supported_models: [{ model_name: 'x', max_context_length: 64 }] });
    };
    const env = { TINKER_BASE_URL: 'http://h:1/', TINKER_API_KEY: 'tml-k' };
    const remote = new ServiceClient({ backend: { fetch }, env });
    expect(await remote.getServerCapabilities()).toEqual({
      supportedModels: [{ modelName: 'x', maxContextLength: 64 }],
    });
    expect(seen).toEqual([['http://h:1/api/v1/get_server_capabilities', 'tml-k']]);
    expect(
      (await new ServiceClient({ backend: 'local', env }).getServerCapabilities()).supportedModels[0]
        ?.modelName,
    ).toBe('bigram');
    expect(() => new ServiceClient({ backend: {}, env: {} })).toThrow('no baseUrl');
    await expect(new ServiceClient({ baseUrl: 'ftp://x', env: {} }).capabilities()).rejects.toThrow(
      'must be http or https',
    );
  });

  it('makes clients, refuses settings that would train nothing, and closes', async () => {
    const { service, client } = await setUp();
    await expect(
      service.createLoraTrainingClient('bigram', { trainMlp: false, trainAttn: false, trainUnembed: false }),
    ).rejects.toThrow('nothing would be trained');
    await expect(service.createLoraTrainingClient('')).rejects.toBeInstanceOf(BadRequestError);
    await expect(service.createBaseTrainingClient()).rejects.toBeInstanceOf(UnsupportedFeatureError);
    expect(await client.getInfo()).toMatchObject({ modelId: client.runId, isLora: true });
    expect((await client.getTokenizer()).decode([1, 2])).toBe('12');
    expect(await service.getConsoleUrl()).toBeNull();
    await service.close();
    await expect(service.createLoraTrainingClient('bigram')).rejects.toBeInstanceOf(ClientClosedError);
  });

  it('gives frozen references and samplers of text', async () => {
    const { service, client } = await setUp();
    const { path } = await client.saveWeightsForSampler('s');
    const state = await client.saveState('s');
    for (const options of [{ baseModel: 'bigram' }, { modelPath: state.path }]) {
      const reference = await service.createReferenceClient(options);
      const logprobs = await reference.computeLogprobs([1, 2, 3]);
      expect([logprobs[0], logprobs.length]).toEqual([null, 3]);
      await reference.dispose();
    }
    const sampler = await service.createDeploymentSampler({
      modelPath: path,
      tokenizer: await client.getTokenizer(),
      concurrencyController: { maxConcurrent: 2 },
    });
    const answers = await Promise.all(
      [1, 2, 3].map((seed) => sampler.sample('12', { samplingParams: { maxTokens: 3, seed } })),
    );
    for (const { texts, sequences } of answers) expect(texts[0]).toBe(sequences[0]?.tokens.join(''));
    await sampler.close();
    await expect(service.createReferenceClient({})).rejects.toThrow('exactly one');
  });

  it('agrees between sampling and training on log-probabilities', async () => {
    const { service, client } = await setUp();
    const { path } = await client.saveWeightsForSampler('s');
    const sampler = await service.createSamplingClient({ modelPath: path });
    const data = [
      {
        modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: [1, 2] }] },
        lossFnInputs: { targetTokens: [2, 3] },
      },
    ];
    const { lossFnOutputs } = await client.forward(data, 'cross_entropy');
    const prompt = await sampler.computeLogprobs([1, 2, 3]);
    expect(prompt.slice(1).map((v) => Math.fround(v ?? NaN))).toEqual(
      Array.from(lossFnOutputs[0]?.['logprobs']?.data ?? [], Number),
    );
    const drawn = await sampler.sample([1], { numSamples: 3, samplingParams: { seed: 4, maxTokens: 5 } });
    expect(await sampler.sample([1], { numSamples: 3, samplingParams: { seed: 4, maxTokens: 5 } })).toEqual(
      drawn,
    );
    expect(new Set(drawn.sequences.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(1);
  });

  it('keeps a snapshot until it is told to switch', async () => {
    const { service, client } = await setUp();
    const first = await client.saveWeightsForSampler('one');
    const sampler = await service.createSamplingClient({ modelPath: first.path });
    const before = await sampler.computeLogprobs([1, 2, 3]);
    await client.train(
      [
        {
          modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2] }] },
          lossFnInputs: { targetTokens: [2, 3] },
        },
      ],
      'cross_entropy',
      { learningRate: 0.5 },
    );
    const second = await client.saveWeightsForSampler('two');
    expect(await sampler.computeLogprobs([1, 2, 3])).toEqual(before);
    await expect(sampler.hotLoad('lorikeet://nowhere/sampler_weights/x')).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
    expect(await sampler.computeLogprobs([1, 2, 3])).toEqual(before);
    await sampler.hotLoad(second.path);
    expect(await sampler.computeLogprobs([1, 2, 3])).not.toEqual(before);
    expect((await sampler.sample([1])).snapshot).toBe(second.path);
  });
});

describe('paths that do not say their kind', () => {
  it('mean what the call needs, and the other kind where only that is there', async () => {
    const { service, client, rest } = await setUp();
    await client.saveState('both');
    await client.saveWeightsForSampler('both');
    await client.saveWeightsForSampler('only-sampler');
    const run = client.runId;
    expect((await service.createTrainingClientFromState(`bios://${run}/both`)).baseModel).toBe('bigram');
    expect((await service.createSamplingClient({ modelPath: `bios://${run}/both` })).snapshot).toContain(
      '/sampler_weights/both',
    );
    expect((await client.loadState('only-sampler')).path).toBe(
      `lorikeet://${run}/sampler_weights/only-sampler`,
    );
    await rest.deleteCheckpointFromPath(`bios://${run}/both`);
    expect(await client.listCheckpoints()).toEqual(['both']);
    await rest.deleteCheckpointFromPath(`bios://${run}/both`);
    expect(await client.listCheckpoints()).toEqual([]);
    await expect(client.loadState('both')).rejects.toBeInstanceOf(CheckpointNotFoundError);
  });
});

describe('promotion', () => {
  it('checks the id, the row and the base before anything is written', async () => {
    const { backend, service, client, rest } = await setUp();
    await client.saveState('state');
    await client.saveWeightsForSampler('s1');
    const { checkpoints } = await rest.listCheckpoints(client.runId);
    const [state, sampler] = checkpoints.map(({ name }) => name);
    const promote = (name = '', outputModelId = 'my-model', baseModel = 'bigram') =>
      service.promoteCheckpoint({ name, outputModelId, baseModel });
    await expect(promote(sampler, 'My Model')).rejects.toBeInstanceOf(OutputModelIdError);
    await expect(promote(sampler, 'a'.repeat(64))).rejects.toBeInstanceOf(OutputModelIdError);
    await expect(promote(state)).rejects.toBeInstanceOf(NotPromotableError);
    await expect(promote(sampler, 'my-model', 'other')).rejects.toBeInstanceOf(BaseModelMismatchError);
    await expect(promote(`${client.runId}/sampler_weights/none`)).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
    expect(backend.store.models.size).toBe(0);
    expect(await promote(sampler)).toEqual({ modelId: 'my-model' });
    await expect(promote(sampler)).rejects.toBeInstanceOf(ConflictError);
    expect((await rest.listModels()).map(({ modelId }) => modelId)).toEqual(['my-model']);
    expect(service.validateOutputModelId('ok-1')).toEqual([]);
  });

  it('of the latest takes the highest step, not the newest row', async () => {
    const { backend, client, rest } = await setUp();
    await client.saveWeightsForSampler('a');
    await client.saveWeightsForSampler('b');
    for (const [path, stored] of backend.store.checkpoints) stored.row.step = path.endsWith('/a') ? 9 : 3;
    await rest.promoteLatest(client.runId, { outputModelId: 'top', baseModel: 'bigram' });
    expect(backend.store.models.get('top')).toMatch(/\/a$/);
  });

  it('takes the older forms with a warning, once for each place', async () => {
    const { service, client, rest, codes } = await setUp();
    await client.saveWeightsForSampler('s1');
    for (let i = 0; i < 2; i++)
      await service.promoteCheckpoint(client.runId, 'sampler_weights/s1', `m${String(i)}`, 'bigram');
    expect(codes()).toEqual(['LKD001']);
    await rest.promoteCheckpoint({
      jobId: client.runId,
      checkpointId: 's1',
      outputModelId: 'm3',
      baseModel: 'bigram',
      hotLoadDeploymentId: 'd',
    });
    expect(codes()).toEqual(['LKD001', 'LKD002', 'LKD001']);
    const name = `accounts/me/rlorTrainerJobs/${client.runId}/checkpoints/s1`;
    expect(await service.promoteCheckpoint({ name, outputModelId: 'm4', baseModel: 'bigram' })).toEqual({
      modelId: 'm4',
    });
  });
});

describe('a rest client', () => {
  it('pages, sorts by step, and changes rows', async () => {
    const { backend, client, rest } = await setUp();
    for (const name of ['a', 'b', 'c']) await client.saveState(name);
    const steps: Record<string, number> = { a: 30, b: 10, c: 20 };
    for (const { row } of backend.store.checkpoints.values())
      row.step = steps[row.checkpointId.split('/')[1] ?? ''] ?? 0;
    const first = await rest.listCheckpoints(client.runId, { pageSize: 2 });
    expect(first.checkpoints.map(({ step }) => step)).toEqual([10, 20]);
    expect(first.nextPageToken).toBe('2');
    expect((await rest.listCheckpoints(client.runId, { order: 'desc', limit: 1 })).checkpoints[0]?.step).toBe(
      30,
    );
    const path = `lorikeet://${client.runId}/weights/a`;
    await rest.publishCheckpointFromPath(path);
    await rest.setCheckpointTtl(path, 60);
    expect((await rest.searchCheckpoints({ minStep: 25 })).checkpoints[0]).toMatchObject({
      public: true,
      path,
    });
    await rest.unpublish(path);
    await expect(rest.setCheckpointTtl(path, 0)).rejects.toThrow('whole seconds from 1');
    expect((await rest.getTrainingRunByPath(path)).trainingRunId).toBe(client.runId);
    expect((await rest.getCurrentCheckpointStorageUsage()).usedBytes).toBeGreaterThan(0);
    await rest.deleteCheckpoint(client.runId, 'weights/b');
    await expect(rest.deleteCheckpoint(client.runId, 'weights/b')).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
    await expect(rest.deleteCheckpointFromPath('nonsense')).rejects.toThrow('no checkpoint path');
    await expect(rest.listCheckpoints(client.runId, { limit: 0 })).rejects.toBeInstanceOf(BadRequestError);
  });

  it('deletes many after saying which, and nothing where one is not there', async () => {
    const { backend, client, rest } = await setUp();
    for (const name of ['a', 'b', 'c']) await client.saveState(name);
    const at = (name: string): string => `lorikeet://${client.runId}/weights/${name}`;
    const dry = await rest.deleteCheckpoints({ runId: client.runId }, { dryRun: true });
    expect(dry).toMatchObject({ deleted: false, paths: [at('a'), at('b'), at('c')] });
    expect(backend.store.checkpoints.size).toBe(3);
    await expect(rest.deleteCheckpoints({ paths: [at('a'), at('none')] })).rejects.toThrow(
      'so nothing was deleted',
    );
    expect(backend.store.checkpoints.size).toBe(3);
    backend.store.checkpoints.get(at('b'))!.row.pinned = true;
    const done = await rest.deleteCheckpoints({ runId: client.runId });
    expect(done).toMatchObject({
      deleted: true,
      kept: [at('b')],
      freedBytes: (2 * (dry.freedBytes ?? 0)) / 3,
    });
    await expect(rest.deleteCheckpoints({})).rejects.toThrow('either paths or a run');
    await expect(rest.deleteCheckpoints({ runId: 'x', before: 'yesterday' })).rejects.toThrow('is no time');
  });
});

describe('what is kept for programs of others', () => {
  it('the weight syncer, with its warning, and a chain that is broken by a failed switch', async () => {
    const { client, codes } = await setUp();
    const { path } = await client.saveWeightsForSampler('start');
    const sampler = await client.createSamplingClient(path);
    const syncer = new WeightSyncer(client, sampler);
    const saved = await syncer.saveAndHotload('next');
    expect(sampler.snapshot).toBe(saved.path);
    expect(await syncer.waitForHotloadReady(saved.path)).toBe(true);
    await expect(syncer.hotload('lorikeet://x/sampler_weights/none')).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
    expect(syncer.checkDeploymentState()).toEqual({ ready: true, snapshot: saved.path });
    expect(codes()).toEqual(['LKD004']);
  });

  it('checkpoints.jsonl, where a broken line is skipped with a warning', async () => {
    const { client, warnings } = await setUp();
    const sink = createWarningSink((w) => warnings.push(w));
    const texts = new Map<string, string>();
    const files: TextFiles = {
      read: async (path) => texts.get(path) ?? null,
      append: async (path, text) => void texts.set(path, (texts.get(path) ?? '') + text),
    };
    expect(await getLastCheckpoint(files, 'runs', sink)).toBeNull();
    await saveCheckpoint(client, 'one', files, 'runs/', { step: 4, nextBatch: 5, epoch: 1 });
    await files.append('runs/checkpoints.jsonl', '{"name": broken\n');
    await saveCheckpoint(client, 'two', files, 'runs', { step: 8 }, { kind: 'sampler' });
    expect(await getLastCheckpoint(files, 'runs', sink)).toMatchObject({ name: 'one', batch: 5, epoch: 1 });
    expect((await loadCheckpointsFile(files, 'runs', sink)).map(({ name }) => name)).toEqual(['one', 'two']);
    expect(warnings[0]).toMatchObject({
      code: 'CHECKPOINT_FILE_LINE',
      message: expect.stringContaining('Line 2') as string,
    });
  });

  it('MLflow, over its REST interface', async () => {
    const calls: [string, Record<string, unknown>][] = [];
    const fetch: typeof globalThis.fetch = async (url, init) => {
      calls.push([url as string, JSON.parse(init?.body as string) as Record<string, unknown>]);
      return Response.json({ run: { info: { run_id: 'r1' } } });
    };
    const tracker = mlflow({ trackingUri: 'http://m/', fetch, now: () => 5 });
    await tracker.metrics?.(3, { loss: 0.5 });
    await tracker.checkpoint?.({ name: 's', step: 3, path: 'lorikeet://r/weights/s', samplerPath: null });
    expect(calls.map(([url]) => url.split('/').at(-1))).toEqual(['create', 'log-batch', 'set-tag']);
    expect(calls[1]?.[1]).toEqual({
      run_id: 'r1',
      metrics: [{ key: 'loss', value: 0.5, step: 3, timestamp: 5 }],
    });
    const failing = mlflow({ trackingUri: 'http://m', fetch: async () => new Response('', { status: 500 }) });
    await expect(failing.params?.({ a: 1 })).rejects.toThrow('MLflow answered 500');
  });

  it('warnings go to the host where there is no sink', () => {
    const emitWarning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const sink = createWarningSink();
    sink.once({ code: 'NO_GRADIENT', message: 'nothing to apply' });
    sink.once({ code: 'NO_GRADIENT', message: 'nothing to apply' });
    expect(emitWarning.mock.calls).toEqual([
      ['nothing to apply', { type: 'LorikeetWarning', code: 'NO_GRADIENT' }],
    ]);
    emitWarning.mockRestore();
  });
});
