/** Ten thousand calls of one client that nobody awaits in between: taken at once, in order, in little memory. */
import { describe, expect, it } from 'vitest';
import { ServiceClient } from '../service-client.ts';
import { createBigramBackend } from '../testing-bigram-backend.ts';
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

describe.each(['local', 'remote'] as const)('10,000 calls queued (%s)', (kind) => {
  it('are taken at once, done in order, and held in bounded memory', async () => {
    const server = kind === 'remote' ? await startTinkerServer({ parallel_fwdbwd_chunks: true }) : null;
    const service = new ServiceClient({
      backend:
        server === null ? createBigramBackend() : { baseUrl: server.url, timing: { ...FAST, minPollGap: 0 } },
      env: {},
      onWarning: () => undefined,
    });
    const client = await service.createLoraTrainingClient('bigram', { rank: 4 });
    const before = megabytes();
    const from = performance.now();
    const order: number[] = [];
    const calls = Array.from({ length: CALLS }, (_, i) => {
      const call: Promise<unknown> =
        i % 2 === 0
          ? client.forwardBackward(DATA, 'cross_entropy')
          : client.optimStep({ learningRate: 0.001 });
      return call.then(() => order.push(i));
    });
    const taken = performance.now() - from;
    const held = megabytes() - before;
    await Promise.all(calls);
    expect(client.step).toBe(CALLS / 2);
    expect(taken).toBeLessThan(5000);
    // A few kilobytes for each call.
    expect(held).toBeLessThan(150);
    const numbers = Array.from({ length: CALLS }, (_, i) => i + 1);
    expect(server?.arrived ?? numbers).toEqual(numbers);
    expect(order).toHaveLength(CALLS);
    // What was kept for them is gone again; without a collection of garbage only a bound can be told.
    expect(megabytes() - before).toBeLessThan(400);
    await service.close();
    await server?.close();
  });
});
