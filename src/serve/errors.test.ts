/** What goes wrong is the same error for a program here and for one that is served. */
import { describe, expect, it } from 'vitest';
import { ServiceClient } from '../api/service-client.ts';
import { createBigramBackend } from '../api/testing-bigram-backend.ts';
import type { Datum } from '../api/types.ts';
import { serve } from './testing-serve.ts';

const rows = (tokens: readonly number[]): Datum[] => [
  {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
    lossFnInputs: { targetTokens: tokens.slice(1) },
  },
];

interface Told {
  name: string;
  code: string;
  field?: string;
}

async function failureOf(work: () => PromiseLike<unknown>): Promise<Told | null> {
  try {
    await work();
    return null;
  } catch (error) {
    const { name, code, field } = error as Told;
    return { name, code, ...(field === undefined ? {} : { field }) };
  }
}

async function failures(service: ServiceClient): Promise<Record<string, Told | null>> {
  const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 1 });
  const { path } = await client.saveState('a');
  const wide = await service.createLoraTrainingClient('bigram', { rank: 8, seed: 1 });
  await client.forwardBackward(rows([1, 2, 3]), 'cross_entropy');
  return {
    taken: await failureOf(() => client.saveState('a')),
    rank: await failureOf(() => wide.loadStateWithOptimizer(path)),
    unknown: await failureOf(() => client.loadState(path.replace('/a', '/none'))),
    none: await failureOf(() => service.createTrainingClientFromState(path.replace('/a', '/none'))),
    sampler: await failureOf(() =>
      service.createSamplingClient({ modelPath: path.replace('/weights/a', '/sampler_weights/none') }),
    ),
    name: await failureOf(() => client.saveState('../a')),
    empty: await failureOf(() => client.forwardBackward([], 'cross_entropy')),
    after: await failureOf(() => client.optimStep({ learningRate: 0.1 })),
  };
}

describe('errors', () => {
  it('have the same class, code and field through the server', async () => {
    const local = new ServiceClient({ backend: createBigramBackend(), env: {}, onWarning: () => undefined });
    const { server } = await serve();
    const remote = new ServiceClient({
      backend: { baseUrl: server.url },
      env: {},
      onWarning: () => undefined,
    });
    const here = await failures(local);
    expect(await failures(remote)).toEqual(here);
    expect(here['taken']).toEqual({ name: 'CheckpointExistsError', code: 'CHECKPOINT_EXISTS' });
    expect(here['rank']).toEqual({
      name: 'LoraConfigMismatchError',
      code: 'ADAPTER_MISMATCH',
      field: 'rank',
    });
    expect(here['after']).toBeNull();
    await remote.close();
  });

  it('tell a step behind a failed pass from others', async () => {
    const { backend, server } = await serve();
    const service = new ServiceClient({
      backend: { baseUrl: server.url },
      env: {},
      onWarning: () => undefined,
    });
    const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 1 });
    backend.before = (what) => {
      if (what === 'forwardBackward') throw new Error('The kernel failed.');
    };
    const passed = failureOf(() => client.forwardBackward(rows([1, 2]), 'cross_entropy'));
    const stepped = failureOf(() => client.optimStep({ learningRate: 0.1 }));
    expect(await passed).toMatchObject({ name: 'RequestFailedError', code: 'API_REQUEST_FAILED' });
    expect(await stepped).toMatchObject({ name: 'PrecedingOperationFailedError' });
    backend.before = null;
    await client.forwardBackward(rows([1, 2]), 'cross_entropy');
    await client.optimStep({ learningRate: 0.1 });
    await service.close();
  });
});
