import { describe, expect, it } from 'vitest';
import { BadRequestError, RequestFailedError } from '../errors.ts';
import { UnsupportedFeatureError } from '../own-errors.ts';
import { exchange, VERSIONS } from './testing-replay.ts';
import { dataOf, firstClient, setUp } from './testing-remote.ts';

// Through JSON once, as the replay does: it knows no -0.
const valuesOf = (body: unknown): unknown =>
  (JSON.parse(JSON.stringify(body)) as { loss_fn_outputs: unknown }).loss_fn_outputs;

describe.each(VERSIONS)('training on %s', (version) => {
  it('makes a model and tells what it is', async () => {
    const { service, server } = await setUp(version);
    expect(await service.getServerCapabilities()).toEqual({ supportedModels: [{ modelName: 'tiny-qwen3' }] });
    const client = await firstClient(service);
    expect(client.runId).toBe('model_00000001');
    // As the server says: the unembedding is not trained there, and alpha is 32.
    expect(client.lora).toMatchObject({ rank: 8, alpha: 32, seed: 0, trainUnembed: false, trainMlp: true });
    expect(await client.getInfo()).toEqual({
      modelData: { modelName: 'tiny-qwen3' },
      modelId: 'model_00000001',
      isLora: true,
      loraRank: 8,
      modelName: 'tiny-qwen3',
    });
    const created = server.seen.find(({ path }) => path.endsWith('create_model'));
    expect(created?.body).toMatchObject({
      session_id: 'session_00000001',
      model_seq_id: 0,
      type: 'create_model',
    });
    expect(created?.headers['x-idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('computes forward, backward and steps in the order of the calls, submitted ahead', async () => {
    const { service, server, codes } = await setUp(version);
    const client = await firstClient(service);
    const data = dataOf(version, 20);
    const forward = client.forward(data, 'cross_entropy');
    const backward = client.forwardBackward(data, 'cross_entropy');
    const step = client.optimStep({ learningRate: 0.01 });
    const after = client.forward(data, 'cross_entropy');
    expect([forward, backward, step, after].map(({ seqIds }) => seqIds)).toEqual([[1], [2], [3], [4]]);
    const output = await forward;
    expect(output.lossFnOutputType).toBe('scalar');
    expect(output.lossFnOutputs).toEqual(valuesOf(exchange(version, 21).responseBody));
    const losses = output.lossFnOutputs.flatMap((o) => Array.from(o['elementwise_loss']?.data ?? [], Number));
    // Weights are 0 or 1 here, so the sum over tokens is the sum of what the server calls elementwise.
    expect(output.metrics['loss:sum']).toBeCloseTo(
      losses.reduce((a, b) => a + b, 0),
      3,
    );
    expect(output.computedByClient).toEqual(['loss:sum']);
    expect((await backward).lossFnOutputs).toEqual(valuesOf(exchange(version, 25).responseBody));
    expect(await step).toEqual({
      metrics: { 'skyrl.ai/grad_norm': 9.415836334228516, 'skyrl.ai/learning_rate': 0.009999999776482582 },
    });
    await after;
    expect(forward.requestId).toBe('2');
    expect(client.step).toBe(1);
    const order = server.seen
      .filter(({ body }) => 'seq_id' in body)
      .map(({ path, body }) => [path.split('/').at(-1), body['seq_id']]);
    expect(order).toEqual([
      ['forward', 1],
      ['forward_backward', 2],
      ['optim_step', 3],
      ['forward', 4],
    ]);
    expect(codes()).toContain('LOSS_IS_A_MEAN');
    expect(codes()).toContain('METRICS_COMPUTED_HERE');
    expect(codes().filter((code) => code === 'LOSS_IS_A_MEAN')).toHaveLength(1);
  });

  it('says 0/1 weights for reinforcement learning, and computes its loss', async () => {
    const { service } = await setUp(version);
    const client = await firstClient(service);
    // 038 is the same call as 030 with the weights said.
    const output = await client.forwardBackward(dataOf(version, 30), 'importance_sampling');
    expect(output.lossFnOutputs).toEqual(valuesOf(exchange(version, 39).responseBody));
    const losses = output.lossFnOutputs.flatMap((o) => Array.from(o['elementwise_loss']?.data ?? [], Number));
    const sum = losses.reduce((a, b) => a + b, 0);
    expect(Math.abs((output.metrics['loss:sum'] ?? NaN) / sum - 1)).toBeLessThan(1e-6);
  });

  it('refuses what the server cannot do before anything is sent', async () => {
    const { service, server } = await setUp(version);
    const client = await firstClient(service);
    const before = server.seen.filter(({ path }) => !path.endsWith('heartbeat')).length;
    const rl = dataOf(version, 30);
    const data = dataOf(version, 20);
    const two = [
      {
        ...data[0]!,
        lossFnInputs: {
          targetTokens: Array.from({ length: 14 }, () => [1, 2]),
          weights: Array.from({ length: 14 }, () => [1, 1]),
        },
      },
    ];
    const negative = [
      {
        ...data[0]!,
        lossFnInputs: { ...data[0]!.lossFnInputs, weights: Array.from({ length: 14 }, () => -1) },
      },
    ];
    const outcomes = await Promise.allSettled([
      client.forwardBackward(rl, 'dro', { beta: 0.05 }),
      client.forwardBackward(two, 'cross_entropy'),
      client.forwardBackward(negative, 'cross_entropy'),
      client.forward([], 'cross_entropy'),
      client.saveState('loss-1.5'),
      service.createLoraTrainingClient('tiny-qwen3', { rank: 8, alpha: 16 }),
      service.createLoraTrainingClient('other/model'),
      client.optimStep({ learningRate: -1 }),
    ]);
    const names = outcomes.map((o) => (o.status === 'rejected' ? (o.reason as Error).name : 'resolved'));
    expect(names).toEqual([
      'UnsupportedFeatureError',
      'UnsupportedFeatureError',
      'BadRequestError',
      'BadRequestError',
      'InvalidCheckpointNameError',
      'UnsupportedFeatureError',
      'BadRequestError',
      'BadRequestError',
    ]);
    const later = server.seen.filter(({ path }) => !path.endsWith('heartbeat')).slice(before);
    expect(later.map(({ path }) => path)).toEqual([
      '/api/v1/get_server_capabilities',
      '/api/v1/get_server_capabilities',
    ]);
    // No turn was taken by any of them.
    expect(client.forward(data, 'cross_entropy').seqIds).toEqual([1]);
    expect((outcomes[0] as PromiseRejectedResult).reason).toBeInstanceOf(UnsupportedFeatureError);
    expect((outcomes[2] as PromiseRejectedResult).reason).toBeInstanceOf(BadRequestError);
  });

  it('drops no option silently', async () => {
    const { service, codes } = await setUp(version);
    const client = await firstClient(service);
    await client.optimStep({ learningRate: 0.01, gradClipNorm: 1, weightDecay: 0.1 }).catch(() => undefined);
    expect(codes()).toEqual(expect.arrayContaining(['OPTION_IGNORED', 'WEIGHT_DECAY_LEAKS', 'NO_GRADIENT']));
    const strict = await setUp(version, { strict: true });
    const other = await firstClient(strict.service);
    await expect(other.optimStep({ gradClipNorm: 1 })).rejects.toBeInstanceOf(UnsupportedFeatureError);
    await expect(other.optimStep({}, { gradAccumulationNormalization: 'num_sequences' })).rejects.toThrow(
      'the protocol has no field for it',
    );
  });

  it('rejects what the server refuses later, and goes on', async () => {
    const { service } = await setUp(version);
    await expect(service.createLoraTrainingClient('tiny-qwen3', { rank: 64, seed: 0 })).rejects.toThrow(
      'LoRA rank 64 must be between 1 and 16',
    );
    await expect(
      service.createLoraTrainingClient('tiny-qwen3', { rank: 64, seed: 0 }),
    ).rejects.toBeInstanceOf(RequestFailedError);
    expect((await firstClient(service)).runId).toBe('model_00000001');
  });

  it('tells the two versions apart, and what each can do', async () => {
    const { service, codes } = await setUp(version);
    const { features, server, dialect } = await service.capabilities();
    const released = version === 'skyrl-0.3.0';
    expect(dialect).toBe('skyrl');
    expect(server).toBe(released ? 'SkyRL (release 0.3.0)' : 'SkyRL');
    expect(features.delete_checkpoint.support).toBe(released ? 'unsupported' : 'native');
    expect(features.load_weights_only.support).toBe(released ? 'differs' : 'native');
    expect(features.idempotent_requests.support).toBe(released ? 'unsupported' : 'native');
    expect(features.loss_dro.support).toBe('unsupported');
    expect(codes().includes('SEQ_ID_IGNORED')).toBe(released);
    for (const { note } of Object.values(features)) expect(note.length).toBeGreaterThan(5);
  });
});
