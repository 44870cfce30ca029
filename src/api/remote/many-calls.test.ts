/** Ten thousand calls of one client that nobody awaits in between: taken at once, in order, in little memory. */
import { describe, expect, it } from 'vitest';
import { ClientClosedError } from '../own-errors.ts';
import { ServiceClient, type ServiceClientOptions } from '../service-client.ts';
import { createBigramBackend } from '../testing-bigram-backend.ts';
import type { TrainingClient } from '../training-client.ts';
import type { Datum } from '../types.ts';
import { FAST } from './testing-replay.ts';
import { startTinkerServer } from './testing-tinker-server.ts';

const DATA: Datum[] = [
  {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2] }] },
    lossFnInputs: { targetTokens: [2, 3] },
  },
];
const CALLS = 10_000;
const megabytes = (): number => process.memoryUsage().heapUsed / 2 ** 20;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

const open = (backend: ServiceClientOptions['backend']) => {
  const service = new ServiceClient({ backend: backend ?? 'local', env: {}, onWarning: () => undefined });
  return { service, client: service.createLoraTrainingClient('bigram', { rank: 4 }) };
};

/** Calls all of them in one go. A few kilobytes each is what they may hold, and no time to speak of to take them. */
function queue(client: TrainingClient): Promise<unknown>[] {
  const [from, before] = [performance.now(), megabytes()];
  const calls = Array.from({ length: CALLS }, (_, i): Promise<unknown> =>
    i % 2 === 0 ? client.forwardBackward(DATA, 'cross_entropy') : client.optimStep({ learningRate: 0.001 }),
  );
  expect(performance.now() - from).toBeLessThan(20_000);
  expect(megabytes() - before).toBeLessThan(150);
  return calls;
}

describe('10,000 calls queued', () => {
  it('on an engine are taken at once, done in order, and held in bounded memory', async () => {
    const backend = createBigramBackend();
    const client = await open(backend).client;
    await Promise.all(queue(client));
    expect(client.step).toBe(CALLS / 2);
    const done = backend.log.map((line) => line.split(' ')[1]);
    expect(done).toEqual(numbers(CALLS).map((i) => (i % 2 === 1 ? 'forwardBackward' : 'optimStep')));
  });

  it('to a server are sent in order while they wait, and those that wait are told when the client closes', async () => {
    const server = await startTinkerServer({ parallel_fwdbwd_chunks: true });
    const { service, client: opening } = open({ baseUrl: server.url, timing: { ...FAST, minPollGap: 0 } });
    const client = await opening;
    const calls = queue(client);
    await Promise.all(calls.slice(0, 500));
    await client.dispose();
    const outcomes = await Promise.allSettled(calls);
    const sent = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(sent).toBeGreaterThanOrEqual(500);
    expect(server.arrived).toEqual(numbers(sent));
    const kinds = outcomes.slice(sent).map((o) => (o.status === 'rejected' ? (o.reason as Error).name : ''));
    expect([...new Set(kinds)]).toEqual([ClientClosedError.name]);
    await service.close();
    await server.close();
  });
});
