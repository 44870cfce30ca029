/** Training states of small adapters, a fingerprint of its own in every tensor, for the tests of this folder. */
import type { Adapter, AdapterTensor } from './adapter.ts';
import type { Moments } from './moments.ts';
import type { TrainingState } from './training-state.ts';

/** Tensors like the adapter's, each element with a value that no other has. */
export function fingerprints(adapter: Pick<Adapter, 'tensors'>, seed: number): AdapterTensor[] {
  let next = seed * 1_000_000;
  return adapter.tensors.map(({ name, shape, data }) => ({
    name,
    shape,
    data: Float32Array.from(data, () => Math.fround(1e-6 * ++next)),
  }));
}

/** Moments with fingerprints; second moments are positive. */
export function testMoments(adapter: Pick<Adapter, 'tensors'>): Moments {
  const expAvg = fingerprints(adapter, 1).map((tensor) => ({
    ...tensor,
    data: tensor.data.map((value, i) => (i % 2 === 0 ? value : -value)),
  }));
  return { expAvg, expAvgSq: fingerprints(adapter, 2) };
}

/** A state at step 10, 7 rows into the third pass over 13 rows. */
export function testState(
  adapter: Pick<Adapter, 'tensors'>,
  changes: Partial<TrainingState> = {},
): TrainingState {
  return {
    step: 10,
    microStep: 0,
    epoch: 33 / 13,
    optimizer: { type: 'adamw', step: 10, betas: [0.9, 0.95], eps: 1e-12, weightDecay: 0, gradClip: 1 },
    moments: testMoments(adapter),
    gradients: null,
    scheduler: {
      type: 'cosine',
      params: { learningRate: 1e-4, warmupSteps: 3, totalSteps: 20 },
      position: 10,
    },
    rng: { algo: 'philox4x32-10', seed: 11, counters: { step: 10, micro: 0 } },
    data: {
      datasetSha256: 'd'.repeat(64),
      rows: 13,
      order: 'shuffled',
      epoch: 2,
      offset: 7,
      packing: 'segments/512',
      tokenizerSha256: 'e'.repeat(64),
    },
    settings: { batchSize: 3, gradAccumulation: 1, shuffle: true, steps: null, model: 'acme/tiny' },
    best: { metric: 'evalLoss', mode: 'min', value: 0.5, step: 8, checkpoint: 'step-000008' },
    lossTail: [
      { step: 9, loss: 1.5 },
      { step: 10, loss: 1.25 },
    ],
    tokens: 12345,
    metrics: [
      { step: 9, loss: 1.5, lr: 5e-5 },
      { step: 10, loss: 1.25, lr: 4e-5, note: null },
    ],
    metadata: { author: 'Ada ü', ['__proto__x']: 'y' },
    ...changes,
  };
}
