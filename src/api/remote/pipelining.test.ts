/**
 * What is submitted ahead has the bits of what is awaited call by call, and is there sooner on a server that is far
 * away. Figures: bench/pipelining.ts.
 */
import { expect, it } from 'vitest';
import { ServiceClient } from '../service-client.ts';
import type { TrainingClient } from '../training-client.ts';
import type { Datum } from '../types.ts';
import { FAST } from './testing-replay.ts';
import { startTinkerServer } from './testing-tinker-server.ts';

const STEPS = 8;
const ADAM = { learningRate: 0.05 };
const batch = (step: number): Datum[] =>
  [0, 1].map((i) => ({
    modelInput: { chunks: [{ type: 'encoded_text', tokens: [1 + step, 2 + i, 3] }] },
    lossFnInputs: { targetTokens: [2 + i, 3, 4 + (step % 3)] },
  }));

type Seen = (number | undefined)[];

async function awaited(client: TrainingClient): Promise<Seen> {
  const seen: Seen = [];
  for (let step = 0; step < STEPS; step++) {
    const { metrics } = await client.forwardBackward(batch(step), 'cross_entropy');
    const stepped = await client.optimStep(ADAM);
    seen.push(metrics['loss:sum'], stepped.metrics?.['gradNorm']);
  }
  return seen;
}

/** The next batch is on its way before this one is awaited. */
async function ahead(client: TrainingClient): Promise<Seen> {
  const submit = (step: number) =>
    [client.forwardBackward(batch(step), 'cross_entropy'), client.optimStep(ADAM)] as const;
  const seen: Seen = [];
  let next = submit(0);
  for (let step = 0; step < STEPS; step++) {
    const [forward, stepped] = next;
    if (step + 1 < STEPS) next = submit(step + 1);
    seen.push((await forward).metrics['loss:sum'], (await stepped).metrics?.['gradNorm']);
  }
  return seen;
}

it('submitted one batch ahead is the same to the bit and sooner done', async () => {
  const server = await startTinkerServer({ parallel_fwdbwd_chunks: true }, { latency: 25, work: 10 });
  const service = new ServiceClient({
    backend: { baseUrl: server.url, timing: { ...FAST, heartbeatSeconds: 60 } },
    env: {},
    onWarning: () => undefined,
  });
  const time = async (run: (client: TrainingClient) => Promise<Seen>) => {
    const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 5 });
    const from = performance.now();
    const seen = await run(client);
    return { seen, ms: performance.now() - from };
  };
  // Waits of fixed length make the difference, and the shortest of three times has the least else in it.
  const shortest = async (run: (client: TrainingClient) => Promise<Seen>) => {
    const runs = [await time(run), await time(run), await time(run)];
    return { seen: runs.map(({ seen }) => seen), ms: Math.min(...runs.map(({ ms }) => ms)) };
  };
  const strict = await shortest(awaited);
  const piped = await shortest(ahead);
  expect(piped.seen).toEqual(strict.seen);
  expect(piped.seen[0]).toHaveLength(2 * STEPS);
  expect(strict.ms / piped.ms).toBeGreaterThan(1.2);
  await service.close();
  await server.close();
});
