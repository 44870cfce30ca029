import { describe, expect, it } from 'vitest';
import { RecoveryExecutor } from '../api/recovery.ts';
import { DeviceLostError } from '../api/own-errors.ts';
import { openClient } from './open-client.ts';
import { evaluateNll, trainSft, type SftOptions } from './sft.ts';
import { bigramClient, bitsOf, countingRows } from './testing-bigram-service.ts';

const data = countingRows(23);
const options: SftOptions = {
  data,
  evalData: countingRows(6),
  batchSize: 4,
  epochs: 4,
  learningRate: 0.5,
  shuffleSeed: 3,
  saveEvery: 10,
  evalEvery: 5,
};

describe('supervised fine-tuning', () => {
  it('lowers the loss, and reports what it trains on', async () => {
    const { client, backend } = await bigramClient();
    const seen: number[] = [];
    const { steps, path } = await trainSft(client, { ...options, onStep: ({ step }) => seen.push(step) });
    expect(seen).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
    expect(steps[0]?.loss).toBeGreaterThan(2.5);
    expect(steps.at(-1)?.loss).toBeLessThan(0.5);
    expect(steps.map(({ learningRate }) => learningRate)[12]).toBeCloseTo(0.25, 12);
    const lengths = data.reduce(
      (n, { lossFnInputs }) => n + Array.from(lossFnInputs['targetTokens'] as number[]).length,
      0,
    );
    expect(steps.at(-1)?.tokensSeen).toBe(4 * lengths);
    expect(steps.filter(({ evalLoss }) => evalLoss !== undefined).map(({ step }) => step)).toEqual([
      5, 10, 15, 20,
    ]);
    expect(steps[19]?.evalLoss).toBeLessThan(steps[4]?.evalLoss ?? NaN);
    expect([...backend.store.checkpoints.keys()].map((key) => key.split('/').slice(-2).join('/'))).toEqual([
      'weights/step-000010',
      'sampler_weights/step-000010',
      'weights/step-000020',
      'sampler_weights/step-000020',
      'weights/final',
      'sampler_weights/final',
    ]);
    expect(path).toBe(`lorikeet://${client.runId}/weights/final`);
  });

  it('shows the weighted mean of the tokens, not the sum of the backend', async () => {
    const { client } = await bigramClient();
    const [first, second] = countingRows(2);
    if (first === undefined || second === undefined) throw new Error('no rows');
    const heavier = { ...second, lossFnInputs: { ...second.lossFnInputs, weights: [0, 0.5, 2, 0, 0] } };
    const logprobs = async (row: typeof first): Promise<number[]> =>
      Array.from(
        (await client.forward([row], 'cross_entropy')).lossFnOutputs[0]?.['logprobs']?.data ?? [],
        Number,
      );
    const [a, b] = [await logprobs(first), await logprobs(heavier)];
    const sum = -((a[1] ?? NaN) + (a[2] ?? NaN) + (a[3] ?? NaN)) - 0.5 * (b[1] ?? NaN) - 2 * (b[2] ?? NaN);
    expect(await evaluateNll(client, [first, heavier], 1)).toBeCloseTo(sum / 5.5, 12);
  });

  it('submits a batch before it awaits the one before, with the same bits as awaiting each', async () => {
    const straight = await bigramClient();
    const pipelined = await bigramClient();
    const awaited = await trainSft(straight.client, { ...options, submitAhead: 0 });
    const order: string[] = [];
    const { client } = pipelined;
    const submit = client.forwardBackward.bind(client);
    client.forwardBackward = (...args) => {
      order.push('submit');
      return submit(...args);
    };
    const ahead = await trainSft(client, {
      ...options,
      submitAhead: 1,
      onStep: ({ step }) => order.push(`done ${String(step)}`),
    });
    expect(ahead.steps).toEqual(awaited.steps);
    expect(await bitsOf(client)).toEqual(await bitsOf(straight.client));
    // Ahead everywhere but before evaluations and saves.
    expect(order.slice(0, 12)).toEqual([
      'submit',
      'submit',
      'done 1',
      'submit',
      'done 2',
      'submit',
      'done 3',
      'submit',
      'done 4',
      'done 5',
      'submit',
      'submit',
    ]);
  });

  it('goes on from a checkpoint with the bits of a run that did not stop', async () => {
    const { client, service } = await bigramClient();
    const whole = await trainSft(client, options);
    const path = `lorikeet://${client.runId}/weights/step-000010`;
    const resumed = await openClient(service, { resumeFrom: path });
    expect(resumed.loopState).toMatchObject({ step: 10, epoch: 1, nextBatch: 4, shuffleSeed: 3 });
    // What the checkpoint knows need not be said again.
    const { learningRate: _, shuffleSeed: __, ...rest } = options;
    const again = await trainSft(resumed, rest);
    expect(again.steps).toEqual(whole.steps.slice(10));
    expect(await bitsOf(resumed)).toEqual(await bitsOf(client));
  });

  it('starts over from weights alone', async () => {
    const { client, service } = await bigramClient();
    const { path } = await trainSft(client, { ...options, epochs: 1 });
    const fresh = await openClient(service, { loadCheckpointPath: path });
    const { steps } = await trainSft(fresh, { ...options, epochs: 1 });
    expect(steps).toHaveLength(6);
    expect(steps[0]?.loss).toBeLessThan(2.5);
  });

  it('refuses a checkpoint of other data, another order or other batches', async () => {
    const { client, service } = await bigramClient();
    await trainSft(client, { ...options, epochs: 2 });
    const resumeFrom = `lorikeet://${client.runId}/weights/step-000010`;
    for (const [change, words] of [
      [{ data: countingRows(22) }, 'data of the digest'],
      [{ shuffleSeed: 4 }, 'shuffleSeed 3, and now it is 4'],
      [{ batchSize: 5 }, 'batchSize 4, and now it is 5'],
    ] as const) {
      const resumed = await openClient(service, { resumeFrom });
      const training = trainSft(resumed, { ...options, epochs: 2, ...change });
      await expect(training).rejects.toMatchObject({
        code: 'DATA_MISMATCH',
        message: expect.stringContaining(words) as string,
      });
    }
    await expect(trainSft(client, { ...options, batchSize: 0 })).rejects.toThrow('batchSize is 0');
    await expect(trainSft(client, { ...options, submitAhead: -1 })).rejects.toThrow('submitAhead is -1');
    await expect(trainSft(client, { ...options, data: [] })).rejects.toThrow('number of data is 0');
    expect(() => openClient(service, {})).toThrow('neither a base model nor a checkpoint');
  });

  it('survives a lost device without leaving a trace in the weights', async () => {
    const straight = await bigramClient();
    await trainSft(straight.client, options);
    const { client, backend } = await bigramClient();
    let passes = 0;
    backend.before = (what) => {
      if (what === 'forwardBackward' && ++passes === 15)
        throw new DeviceLostError({ message: 'The GPU was lost.' });
    };
    const lost: number[] = [];
    const executor = new RecoveryExecutor(
      { backoffSeconds: [0, 0], pollSeconds: 0 },
      { onRestored: ({ fromStep }) => lost.push(fromStep) },
    );
    const last = await executor.run(client, async (current, signal) => {
      await trainSft(current, { ...options, signal });
      return bitsOf(current);
    });
    expect(lost).toEqual([10]);
    expect(last).toEqual(await bitsOf(straight.client));
  });

  it('keeps the best by a figure of every step without training past it', async () => {
    const { client, service } = await bigramClient();
    const { steps } = await trainSft(client, {
      ...options,
      epochs: 1,
      saveEvery: 0,
      evalEvery: 0,
      saveFinal: false,
      kind: 'state',
      saveBest: { metric: 'loss', mode: 'min' },
    });
    const best = steps.reduce((a, b) => (b.loss < a.loss ? b : a));
    const name = `step-${String(best.step).padStart(6, '0')}`;
    const resumed = await service.loadTrainingClient(`lorikeet://${client.runId}/weights/${name}`);
    expect(resumed.loopState?.step).toBe(best.step);
    // The state of that step, so the next batch gives the figures of the straight run.
    const again = await trainSft(resumed, {
      ...options,
      epochs: 1,
      saveEvery: 0,
      evalEvery: 0,
      saveFinal: false,
    });
    expect(again.steps).toEqual(steps.slice(best.step));
  });

  it('stops where it is told to', async () => {
    const { client } = await bigramClient();
    const stop = new AbortController();
    const training = trainSft(client, {
      ...options,
      signal: stop.signal,
      onStep: ({ step }) => {
        if (step === 3) stop.abort(new Error('enough'));
      },
    });
    await expect(training).rejects.toThrow('enough');
  });
});
