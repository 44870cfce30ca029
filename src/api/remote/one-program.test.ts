import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as ad from '../../autodiff/index.ts';
import { ServiceClient } from '../service-client.ts';
import { createBigramBackend } from '../testing-bigram-backend.ts';
import { DATA, rl } from '../testing-data.ts';
import { FAST } from './testing-replay.ts';
import { startTinkerServer, type TinkerServer } from './testing-tinker-server.ts';

/** The program: the same on every backend. Submits ahead, uses every loss, and a custom one. */
async function program(service: ServiceClient): Promise<unknown[]> {
  const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 9 });
  const seen: unknown[] = [];
  const base = await client.forward(DATA, 'cross_entropy');
  const q = base.lossFnOutputs.map((o) => Array.from(o['logprobs']?.data ?? [], Number));
  seen.push(q);
  const calls = [
    client.forwardBackward(DATA, 'cross_entropy'),
    client.optimStep({ learningRate: 0.1 }),
    client.forwardBackward(rl(q), 'importance_sampling'),
    client.forwardBackward(rl(q), 'ppo', { clipLowThreshold: 0.9, clipHighThreshold: 1.1 }),
    client.optimStep({ learningRate: 0.05 }),
    client.forwardBackward(rl(q), 'cispo'),
    client.forwardBackward(rl(q), 'dro', { beta: 0.05 }),
    client.forwardBackwardCustom(DATA, (_, lists) => ({ loss: ad.mean(ad.square(ad.concat(lists))) })),
    client.optimStep({ learningRate: 0.05 }),
    client.forward(DATA, 'cross_entropy'),
  ];
  for (const call of calls) {
    const result = await call;
    seen.push(
      'lossFnOutputs' in result
        ? result.lossFnOutputs.map((o) => Array.from(o['logprobs']?.data ?? [], Number))
        : result.metrics,
    );
    seen.push(result.metrics);
  }
  await client.dispose();
  return seen;
}

describe('one program', () => {
  let server: TinkerServer;
  let local: unknown[];
  beforeAll(async () => {
    server = await startTinkerServer({ parallel_fwdbwd_chunks: true, fwdbwd_max_chunk_len: 1024 });
    local = await program(
      new ServiceClient({ backend: createBigramBackend(), env: {}, onWarning: () => undefined }),
    );
  });
  afterAll(() => server.close());

  it('gives the same numbers on an engine and over the protocol, in protobuf, bit for bit', async () => {
    const service = new ServiceClient({
      backend: { baseUrl: server.url, timing: FAST },
      env: {},
      onWarning: () => undefined,
    });
    expect(await program(service)).toEqual(local);
    await service.close();
  });

  it('gives them in parts too, all at once with the first one last', async () => {
    const parts = await startTinkerServer({ parallel_fwdbwd_chunks: true, fwdbwd_max_chunk_len: 1 });
    const service = new ServiceClient({
      backend: { baseUrl: parts.url, timing: FAST },
      env: {},
      onWarning: () => undefined,
    });
    const seen = await program(service);
    expect(parts.arrived).toHaveLength(3 * 9 + 3);
    expect(parts.arrived.toSorted((a, b) => a - b)).toEqual(parts.arrived.map((_, i) => i + 1));
    const flat = (values: unknown): number[] =>
      typeof values === 'object' && values !== null ? Object.values(values).flatMap(flat) : [Number(values)];
    const [a, b] = [flat(seen), flat(local)];
    expect(a).toHaveLength(b.length);
    a.forEach((value, i) => {
      expect(value).toBeCloseTo(b[i] ?? NaN, 5);
    });
    await service.close();
    await parts.close();
  });

  it('keeps 10,000 calls in order', async () => {
    const service = new ServiceClient({
      backend: createBigramBackend(),
      env: {},
      onWarning: () => undefined,
    });
    const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
    const [small] = DATA;
    const calls = Array.from(
      { length: 5000 },
      () =>
        [
          client.forwardBackward([small!], 'cross_entropy'),
          client.optimStep({ learningRate: 0.01 }),
        ] as const,
    ).flat();
    await Promise.all<unknown>(calls);
    expect(calls.map(({ seqIds }) => seqIds[0])).toEqual(calls.map((_, i) => i + 1));
    expect(client.step).toBe(5000);
    const many = Array.from({ length: 17_000 }, () => client.forward([small!], 'cross_entropy'));
    const outcomes = await Promise.allSettled(many);
    expect(outcomes.filter((o) => o.status === 'fulfilled')).toHaveLength(16_384);
    expect(outcomes.find((o) => o.status === 'rejected')?.reason).toMatchObject({
      code: 'API_QUEUE_FULL',
      retryable: true,
    });
  });
});
