import { describe, expect, it } from 'vitest';
import { BadRequestError, RequestFailedError } from '../errors.ts';
import { CheckpointNotFoundError, UnsupportedFeatureError } from '../own-errors.ts';
import { SamplingClient } from '../sampling-client.ts';
import { exchange, VERSIONS } from './testing-replay.ts';
import { dataOf, firstClient, setUp } from './testing-remote.ts';

const PROMPT = [338, 280, 262, 390, 284];
const S1 = 'tinker://model_00000001/sampler_weights/s1';
const GREEDY = { samplingParams: { maxTokens: 8, seed: 7, temperature: 0 } };

describe.each(VERSIONS)('sampling on %s', (version) => {
  it('draws from saved weights, and gives log-probabilities of the whole prompt', async () => {
    const { service, codes } = await setUp(version);
    const sampler = await service.createSamplingClient({ modelPath: S1 });
    expect(sampler.getBaseModel()).toBe('tiny-qwen3');
    const response = await sampler.sample(PROMPT, GREEDY);
    expect(response.sequences[0]?.tokens).toEqual([439, 500, 422, 223, 195, 498, 21, 325]);
    expect(response.sequences[0]?.logprobs).toHaveLength(8);
    expect(response.snapshot).toBe(S1);
    const { promptLogprobs } = await sampler.sample(PROMPT, { ...GREEDY, includePromptLogprobs: true });
    const recorded = (exchange(version, 95).responseBody as { prompt_logprobs: number[] }).prompt_logprobs;
    // The server gives one less than there are tokens.
    expect(promptLogprobs).toEqual([null, ...recorded]);
    expect(codes()).toContain('PROMPT_LOGPROBS_SHIFTED');
    // Nobody trains that model here, but somebody else might.
    expect(codes()).toContain('SAMPLING_LOADS_WEIGHTS');
  });

  it('draws from the base model', async () => {
    const base = {
      method: 'POST',
      path: '/api/v1/create_sampling_session',
      requestBody: { base_model: 'tiny-qwen3' },
      responseBody: { sampling_session_id: 'sampling_base' },
    };
    const asample = {
      ...exchange(version, 100),
      requestBody: {
        ...(exchange(version, 100).requestBody as object),
        base_model: null,
        sampling_session_id: 'sampling_base',
      },
    };
    const { service } = await setUp(version, {}, [base, asample]);
    const sampler = await service.createSamplingClient({ baseModel: 'tiny-qwen3' });
    expect((await sampler.sample(PROMPT, GREEDY)).sequences[0]?.tokens).toEqual([
      439, 500, 422, 223, 157, 492, 18, 398,
    ]);
    expect(sampler.snapshot).toBeNull();
  });

  it('draws from an ephemeral snapshot, and drops a name with a warning', async () => {
    const { service, codes } = await setUp(version, {}, [
      {
        method: 'GET',
        path: '/api/v1/samplers/sampling_00000001',
        responseBody: { base_model: 'tiny-qwen3' },
      },
    ]);
    const client = await firstClient(service);
    const sampler = await client.saveWeightsAndGetSamplingClient({ name: 'x' });
    expect((await sampler.sample(PROMPT, GREEDY)).sequences[0]?.tokens).toEqual([
      439, 500, 422, 223, 195, 498, 21, 325,
    ]);
    expect(codes().filter((code) => code === 'LKD003')).toHaveLength(1);
  });

  it('never lets a sample overwrite the weights being trained', async () => {
    const { service, server, codes } = await setUp(version);
    const client = await firstClient(service);
    const { path } = await client.saveWeightsForSampler('s1');
    const sampler = await client.createSamplingClient(path);
    // Of the weights as they are: safe.
    await sampler.sample(PROMPT, GREEDY);
    expect(codes()).not.toContain('SAMPLING_LOADS_WEIGHTS');
    await client.forwardBackward(dataOf(version, 24), 'cross_entropy');
    await client.optimStep({ learningRate: 0.01 });
    const before = server.seen.filter((s) => s.path.endsWith('asample')).length;
    const refused = await sampler.sample(PROMPT, GREEDY).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(UnsupportedFeatureError);
    expect((refused as Error).message).toContain('over the weights being trained');
    expect(server.seen.filter((s) => s.path.endsWith('asample'))).toHaveLength(before);
    // Nothing is trained any more, so nothing can be lost.
    await client.dispose();
    expect((await sampler.sample(PROMPT, GREEDY)).sequences).toHaveLength(1);
  });

  it('keeps a step back until the samples of the snapshot are done', async () => {
    const { service, server } = await setUp(version);
    const client = await firstClient(service);
    const { path } = await client.saveWeightsForSampler('s1');
    const sampler = await client.createSamplingClient(path);
    let slow = 5;
    server.fault = ({ path: p, body }) =>
      p === 'retrieve_future' && (body as { request_id: string }).request_id === '20' && slow-- > 0
        ? { status: 408 }
        : null;
    const sampled = sampler.sample(PROMPT, GREEDY);
    await sampled.submitted;
    const stepped = client.optimStep({ learningRate: 0.01 });
    await Promise.all([sampled, stepped]);
    const routes = server.seen.map((s) => s.path.split('/').at(-1));
    const lastPoll = server.seen.findLastIndex((s) => s.body['request_id'] === '20');
    expect(routes.indexOf('optim_step')).toBeGreaterThan(lastPoll);
  });

  it('refuses what the server would get wrong, and names what it refuses', async () => {
    const { service } = await setUp(version);
    const sampler = await service.createSamplingClient({ modelPath: S1 });
    await expect(sampler.sample(PROMPT)).rejects.toThrow('needs maxTokens');
    await expect(sampler.sample([])).rejects.toBeInstanceOf(BadRequestError);
    await expect(sampler.sample(PROMPT, { numSamples: 0 })).rejects.toBeInstanceOf(BadRequestError);
    const topk = await sampler
      .sample(PROMPT, { ...GREEDY, includePromptLogprobs: true, topkPromptLogprobs: 2 })
      .catch((error: unknown) => error);
    expect(topk).toBeInstanceOf(version === 'skyrl-0.3.0' ? UnsupportedFeatureError : RequestFailedError);
    await expect(
      service.createSamplingClient({ modelPath: 'tinker://model_00000001/weights/step-0001' }),
    ).rejects.toBeInstanceOf(UnsupportedFeatureError);
    await expect(service.createSamplingClient({})).rejects.toThrow('exactly one of modelPath and baseModel');
    await expect(service.createSamplingClient({ modelPath: S1, baseModel: 'x' })).rejects.toThrow(
      'exactly one',
    );
  });

  it('names a checkpoint that is not there', async () => {
    const lost = {
      method: 'POST',
      path: '/api/v1/create_sampling_session',
      requestBody: { model_path: 'tinker://model_00000001/sampler_weights/nothing' },
      status: 404,
      responseBody: { detail: 'Checkpoint not found' },
    };
    const { service } = await setUp(version, {}, [lost]);
    await expect(
      service.createSamplingClient({ modelPath: 'tinker://model_00000001/sampler_weights/nothing' }),
    ).rejects.toBeInstanceOf(CheckpointNotFoundError);
  });

  it('streams whole samples with a warning, and opens handles', async () => {
    const { service, codes } = await setUp(version);
    const sampler = await service.createSamplingClient({ modelPath: S1 });
    const events = [];
    for await (const event of sampler.sampleStream(PROMPT, GREEDY)) events.push(event);
    expect(events).toHaveLength(9);
    expect(events.at(-1)).toEqual({ sample: 0, stopReason: 'length' });
    expect(codes()).toContain('STREAM_EMULATED');
    const handle = structuredClone(await sampler.getSamplerHandle());
    const again = await SamplingClient.fromSamplerHandle(service, handle);
    expect((await again.sample(PROMPT, GREEDY)).sequences[0]?.tokens[0]).toBe(439);
  });

  it('swaps weights on a running sampler, and keeps the old ones where that fails', async () => {
    const other = {
      method: 'POST',
      path: '/api/v1/create_sampling_session',
      requestBody: { model_path: 'tinker://model_00000001/sampler_weights/s2' },
      responseBody: { sampling_session_id: 'sampling_00000009' },
    };
    const { service } = await setUp(version, {}, [other]);
    const sampler = await service.createSamplingClient({ modelPath: S1 });
    await expect(sampler.hotLoad('tinker://model_00000001/sampler_weights/nothing')).rejects.toBeInstanceOf(
      Error,
    );
    expect(sampler.snapshot).toBe(S1);
    await sampler.hotLoad('tinker://model_00000001/sampler_weights/s2');
    expect(sampler.snapshot).toBe('tinker://model_00000001/sampler_weights/s2');
  });
});
