import { describe, expect, it } from 'vitest';
import { trainDpo, type DpoOptions } from './dpo.ts';
import { dpoLoss, dpoMetrics, pairDatums, type PreferencePair } from './dpo-loss.ts';
import { bigramClient, bitsOf } from './testing-bigram-service.ts';

/** Token 5 is liked, token 9 is not. */
const pairs = (count: number): PreferencePair[] =>
  Array.from({ length: count }, (_, i) => ({
    prompt: [i % 16, (i * 7) % 16],
    chosen: i % 2 === 0 ? [5, 5, 5] : [5, 5],
    rejected: [9, 9],
  }));

const options: DpoOptions = {
  pairs: pairs(13),
  evalPairs: pairs(4),
  batchSize: 4,
  epochs: 4,
  learningRate: 0.05,
  beta: 0.5,
  saveEvery: 6,
  evalEvery: 4,
};

describe('direct preference optimisation', () => {
  it('starts without a preference and ends with one', async () => {
    const { client, service } = await bigramClient();
    const { steps, path } = await trainDpo(service, client, options);
    expect(steps).toHaveLength(16);
    // Policy and reference are the same weights at first.
    expect(steps[0]).toMatchObject({ accuracy: 0.5, margin: 0, chosenReward: 0, rejectedReward: 0 });
    expect(steps[0]?.loss).toBeCloseTo(Math.LN2, 12);
    const last = steps.at(-1);
    expect(last?.accuracy).toBe(1);
    expect(last?.margin).toBeGreaterThan(1);
    expect(last?.chosenReward).toBeGreaterThan(0);
    expect(last?.rejectedReward).toBeLessThan(0);
    expect(last?.loss).toBeLessThan(0.3);
    expect(steps[3]?.evaluation?.margin).toBeLessThan(steps[15]?.evaluation?.margin ?? NaN);
    expect(path).toBe(`lorikeet://${client.runId}/weights/final`);
  });

  it('has the loss and gradient of the formula', () => {
    const [pair] = pairs(1);
    const data = pairDatums(pair === undefined ? [] : [pair]);
    const logprobs = [
      [-9, -1, -2, -3],
      [-9, -2, -0.5],
    ].map((values) => Float32Array.from(values));
    const reference = [{ chosen: -5, rejected: -3 }];
    const beta = 0.5;
    const x = beta * (-6 - -2.5 - (-5 - -3));
    const { metrics } = dpoLoss(reference, beta)(data, logprobs);
    expect(metrics).toMatchObject({ accuracy: 0, margin: x, chosenReward: -0.5, rejectedReward: 0.25 });
    const figures = dpoMetrics([{ chosen: -6, rejected: -2.5 }], reference, beta);
    expect(figures.loss).toBeCloseTo(Math.log(1 + Math.exp(-x)), 12);
  });

  it('goes on from a checkpoint, against the reference of the start, with the bits of a straight run', async () => {
    const { client, service, backend } = await bigramClient();
    const whole = await trainDpo(service, client, options);
    const resumed = await service.loadTrainingClient(`lorikeet://${client.runId}/weights/step-000006`);
    const again = await trainDpo(service, resumed, options);
    expect(again.referencePath).toBe(whole.referencePath);
    expect(again.steps).toEqual(whole.steps.slice(6));
    expect(await bitsOf(resumed)).toEqual(await bitsOf(client));
    // Reference clients are let go.
    expect((await service.getTelemetry())['models']).toBe(2);
    expect([...backend.store.checkpoints.keys()].filter((key) => key.includes('reference'))).toHaveLength(1);
  });

  it('gives the same bits submitted ahead and awaited', async () => {
    const [one, two] = [await bigramClient(), await bigramClient()];
    const awaited = await trainDpo(one.service, one.client, { ...options, submitAhead: 0 });
    const ahead = await trainDpo(two.service, two.client, { ...options, submitAhead: 3 });
    expect(ahead.steps).toEqual(awaited.steps);
    expect(await bitsOf(two.client)).toEqual(await bitsOf(one.client));
  });

  it('refuses what cannot be trained', async () => {
    const { client, service } = await bigramClient();
    await expect(trainDpo(service, client, { ...options, beta: 0 })).rejects.toThrow('beta is 0');
    const empty = [{ prompt: [1], chosen: [2], rejected: [] }];
    await expect(trainDpo(service, client, { ...options, pairs: empty })).rejects.toThrow('has no tokens');
  });
});
