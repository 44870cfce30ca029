import { describe, expect, it } from 'vitest';
import { CheckpointNotFoundError } from '../own-errors.ts';
import { VERSIONS } from './testing-replay.ts';
import { dataOf, firstClient, setUp } from './testing-remote.ts';

const PATH = 'tinker://model_00000001/weights/step-0001';
const post = (path: string, requestBody: unknown, responseBody: unknown, status = 200) => ({
  method: 'POST',
  path: `/api/v1/${path}`,
  requestBody,
  responseBody,
  status,
});

/** A second model under the same settings as the first, which the recording makes under another seed. */
const second = [
  post('retrieve_future', { request_id: '900' }, { model_id: 'model_00000002', base_model: 'tiny-qwen3' }),
  post(
    'retrieve_future',
    { request_id: '901' },
    { model_id: 'model_00000001', status: 'unloaded', type: 'unload_model' },
  ),
  post('unload_model', { model_id: 'model_00000001' }, { request_id: '901' }),
  post('unload_model', { model_id: 'model_00000002' }, { request_id: '901' }),
];

describe.each(VERSIONS)('loading into a used client on %s', (version) => {
  it('makes a fresh model, loads there, unloads the former, and counts from 1 again', async () => {
    const { service, server, codes } = await setUp(version, {}, second);
    const client = await firstClient(service);
    const replaced: string[][] = [];
    client.onRunReplaced((...ids) => replaced.push(ids));
    const data = dataOf(version, 24);
    await client.forwardBackward(data, 'cross_entropy');
    server.fault = ({ path, count }) =>
      path === 'create_model' && count === 2
        ? { status: 200, body: '{"model_id":"model_00000002","request_id":"900"}' }
        : null;
    const loading = client.loadStateWithOptimizer(PATH);
    // Submitted ahead: it must reach the fresh model, after the load.
    const forward = client.forward(dataOf(version, 134), 'cross_entropy');
    expect([loading.seqIds, forward.seqIds]).toEqual([[2], [3]]);
    await loading;
    await forward;
    expect(client.runId).toBe('model_00000002');
    expect(replaced).toEqual([['model_00000002', 'model_00000001']]);
    expect(codes()).toContain('RUN_REPLACED');
    const sent = server.seen
      .filter(({ body }) => 'model_id' in body)
      .map(({ path, body }) => [path.split('/').at(-1), body['model_id'], body['seq_id'] ?? null]);
    expect(sent).toEqual([
      ['forward_backward', 'model_00000001', 1],
      ['load_weights', 'model_00000002', 1],
      // What lay accumulated on the former model is cleared before its slot is free.
      ['optim_step', 'model_00000001', 2],
      ['unload_model', 'model_00000001', null],
      ['forward', 'model_00000002', 2],
    ]);
  });

  it('leaves the former model in place where that fails, without a gap in its numbers', async () => {
    const { service, server } = await setUp(version, {}, second);
    const client = await firstClient(service);
    const data = dataOf(version, 20);
    await client.forward(data, 'cross_entropy');
    server.fault = ({ path, count }) => {
      if (path === 'create_model' && count === 2)
        return { status: 200, body: '{"model_id":"model_00000002","request_id":"900"}' };
      return path === 'load_weights' ? { status: 404, body: '{"detail":"Checkpoint not found"}' } : null;
    };
    await expect(client.loadState(PATH)).rejects.toBeInstanceOf(CheckpointNotFoundError);
    expect(client.runId).toBe('model_00000001');
    await client.forward(data, 'cross_entropy');
    const forwards = server.seen.filter(({ path }) => path.endsWith('/forward'));
    expect(forwards.map(({ body }) => [body['model_id'], body['seq_id']])).toEqual([
      ['model_00000001', 1],
      ['model_00000001', 2],
    ]);
    expect(
      server.seen.filter(({ path }) => path.endsWith('unload_model')).map(({ body }) => body['model_id']),
    ).toEqual(['model_00000002']);
  });

  it('keeps its numbers without a gap after a call that is refused before it is sent', async () => {
    const { service, server } = await setUp(version);
    const client = await firstClient(service);
    const data = dataOf(version, 20);
    await expect(client.saveWeightsForSampler('x', { checkpointType: 'delta' })).rejects.toThrow(
      'stores adapters whole',
    );
    await expect(client.loadState('lorikeet://r/sampler_weights/x')).rejects.toThrow(
      'no training checkpoint',
    );
    await expect(client.loadState('@latest')).rejects.toThrow('moving names');
    await client.forward(data, 'cross_entropy');
    expect(server.seen.findLast(({ path }) => path.endsWith('/forward'))?.body['seq_id']).toBe(1);
  });
});

describe('a server whose config makes models by loading', () => {
  it('gets one request, and its model is named by session and number', async () => {
    const { service, server } = await setUp('skyrl-a956457', { dialect: 'tinker', encoding: 'json' }, [
      post(
        'client/config',
        {},
        { create_model_via_load_weights: true, parallel_fwdbwd_chunks: true, fwdbwd_max_chunk_len: 2 },
      ),
      post(
        'weights_info',
        { tinker_path: PATH },
        { base_model: 'tiny-qwen3', is_lora: true, lora_rank: 8, train_mlp: true },
      ),
      post('load_weights', { path: PATH, base_model: 'tiny-qwen3' }, { request_id: '902' }),
      post('retrieve_future', { request_id: '902' }, { type: 'load_weights' }),
      post('sessions/session_00000001/finish', {}, {}),
    ]);
    const client = await service.createTrainingClientFromState(PATH);
    expect(client.runId).toBe('session_00000001:train:0');
    const sent = server.seen.filter(({ path }) => path.endsWith('load_weights'));
    expect(sent.map(({ body }) => body)).toMatchObject([
      { session_id: 'session_00000001', model_seq_id: 0, optimizer: false },
    ]);
    await expect(client.saveState('x', { ttlSeconds: 60 })).rejects.toThrow('whole seconds from 3600');
    expect((await service.capabilities()).features.sum_reduction.support).toBe('native');
    await service.close();
    expect(server.seen.at(-1)?.path).toBe('/api/v1/sessions/session_00000001/finish');
  });
});
