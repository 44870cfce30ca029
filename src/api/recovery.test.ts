import { describe, expect, it } from 'vitest';
import { errorOfStatus } from './errors.ts';
import { CheckpointNotFoundError, DeviceLostError } from './own-errors.ts';
import {
  chooseCheckpoint,
  isRecoverable,
  NonFiniteLossError,
  RecoveryExecutor,
  type RecoveryPolicy,
} from './recovery.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';
import type { TrainingClient } from './training-client.ts';
import type { Datum } from './types.ts';

const DATA: Datum[] = [
  {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2, 3] }] },
    lossFnInputs: { targetTokens: [2, 3, 4] },
  },
];
const FAST: Partial<RecoveryPolicy> = { backoffSeconds: [0, 0], pollSeconds: 0 };

async function setUp() {
  const backend = createBigramBackend();
  const service = new ServiceClient({ backend, onWarning: () => undefined, env: {} });
  return { backend, service, client: await service.createLoraTrainingClient('bigram', { rank: 4 }) };
}

/** Trains to step 6, saving at each second one; loses the device as often as it is told. */
function makeLoop(losses: Map<number, Error>) {
  const seen: number[] = [];
  const loop = async (client: TrainingClient): Promise<number[]> => {
    for (let step = client.loopState?.step ?? 0; step < 6; step++) {
      const error = losses.get(step);
      losses.delete(step);
      if (error !== undefined) throw error;
      seen.push(step);
      await client.train(DATA, 'cross_entropy', { learningRate: 0.1 });
      if ((step + 1) % 2 === 0)
        await client.saveState(`s${String(step + 1)}`, {
          loopState: { step: step + 1 },
          overwrite: true,
          metadata: { metrics: { loss: step === 1 ? 0 : 5 } },
        });
    }
    const { lossFnOutputs } = await client.forward(DATA, 'cross_entropy');
    return Array.from(lossFnOutputs[0]?.['logprobs']?.data ?? [], Number);
  };
  return { loop, seen };
}

const lost = (): DeviceLostError => new DeviceLostError({ message: 'the device is lost' });

describe('recovery', () => {
  it('goes on from the newest checkpoint, to the same end', async () => {
    const { client: whole } = await setUp();
    const wanted = await makeLoop(new Map()).loop(whole);
    const { client } = await setUp();
    const events: unknown[] = [];
    const executor = new RecoveryExecutor(FAST, {
      onDetected: ({ attempt }) => events.push(['detected', attempt]),
      onRestored: ({ fromStep, lostSteps }) => events.push(['restored', fromStep, lostSteps]),
    });
    const { loop, seen } = makeLoop(
      new Map([
        [3, lost()],
        [5, lost()],
      ]),
    );
    expect(await executor.run(client, loop)).toEqual(wanted);
    expect(seen).toEqual([0, 1, 2, 2, 3, 4, 4, 5]);
    expect(events).toEqual([
      ['detected', 0],
      ['restored', 2, 1],
      ['detected', 1],
      ['restored', 4, 1],
    ]);
  });

  it('can go back to the best one, and to the weights alone', async () => {
    const { client } = await setUp();
    const from: number[] = [];
    const policy = {
      ...FAST,
      checkpointStrategy: 'best' as const,
      best: { metric: 'loss', mode: 'min' as const },
      restoreOptimizer: false,
    };
    const executor = new RecoveryExecutor(policy, { onRestored: ({ fromStep }) => from.push(fromStep) });
    await executor.run(client, makeLoop(new Map([[5, lost()]])).loop);
    expect(from).toEqual([2]);
  });

  it('gives up after its attempts, and at once on what cannot be helped', async () => {
    const { client } = await setUp();
    await client.saveState('start');
    let gaveUp = 0;
    const executor = new RecoveryExecutor({ ...FAST, maxAttempts: 2 }, { onGaveUp: () => (gaveUp += 1) });
    let runs = 0;
    await expect(
      executor.run(client, async () => {
        runs += 1;
        throw lost();
      }),
    ).rejects.toBeInstanceOf(DeviceLostError);
    expect([runs, gaveUp]).toEqual([3, 1]);
    const { client: other } = await setUp();
    await expect(executor.run(other, async () => Promise.reject(new TypeError('a bug')))).rejects.toThrow(
      'a bug',
    );
    await expect(executor.run(other, async () => Promise.reject(lost()))).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
    await expect(
      new RecoveryExecutor({ enabled: false }).run(other, async () => Promise.reject(lost())),
    ).rejects.toBeInstanceOf(DeviceLostError);
  });

  it('sees that a server calls a run corrupted while the loop hangs', async () => {
    const { client, backend } = await setUp();
    await client.saveState('start');
    const get = backend.registry.getTrainingRun.bind(backend.registry);
    let corrupted = true;
    backend.registry.getTrainingRun = async (...args) => ({ ...(await get(...args)), corrupted });
    const executor = new RecoveryExecutor({ ...FAST, pollSeconds: 0.01 });
    let first = true;
    const result = await executor.run(client, (_, signal) => {
      if (!first) return Promise.resolve('done');
      first = false;
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          corrupted = false;
          resolve('stopped');
        });
      });
    });
    expect(result).toBe('done');
  });

  it('knows what can be helped', () => {
    expect(isRecoverable(lost())).toBe(true);
    expect(isRecoverable(new NonFiniteLossError(3, NaN))).toBe(true);
    expect(isRecoverable(errorOfStatus(410, { message: 'gone' }))).toBe(true);
    expect(isRecoverable(new Error('forward failed: Model model_1 not loaded.'))).toBe(true);
    expect(isRecoverable(errorOfStatus(422, { message: 'wrong' }))).toBe(false);
    expect(() => new RecoveryExecutor({ maxAttempts: -1 })).toThrow('attempts or waits');
    expect(
      chooseCheckpoint([], { checkpointStrategy: 'latest', best: { metric: 'x', mode: 'min' } }),
    ).toBeNull();
  });
});
