/** A GPU that is lost in the middle: the calls say so, and recovery goes on from the last checkpoint on a new device. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RecoveryExecutor, type TrainingLoop } from '../api/recovery.ts';
import { ServiceClient } from '../api/service-client.ts';
import type { TrainingClient } from '../api/training-client.ts';
import { createWarningSink } from '../api/warnings.ts';
import { temporaryStore } from '../checkpoints/testing-run.ts';
import { createNodeHost } from '../cli/node-host.ts';
import { createReporter } from '../cli/progress.ts';
import type { LocalHost } from './host.ts';
import { createLocalBackend } from './local-backend.ts';
import { SOME_DATA, TINY_ID } from './testing-local.ts';

let host: LocalHost;
let service: ServiceClient;
let remove: () => Promise<void>;
beforeAll(async () => {
  const temporary = await temporaryStore();
  ({ remove } = temporary);
  host = createNodeHost({ device: 'auto', store: temporary.store, report: createReporter({ quiet: true }) });
  const warnings = createWarningSink(() => undefined);
  const backend = createLocalBackend({ host, userMetadata: null, warnings });
  service = new ServiceClient({ backend, env: {}, onWarning: () => undefined });
});
afterAll(async () => {
  await service.close();
  await remove();
});

const open = (): Promise<TrainingClient> =>
  service.createLoraTrainingClient(TINY_ID, { rank: 2, seed: 4, trainUnembed: false });
const loseGpu = async (): Promise<void> => {
  (await host.gpu()).device.destroy();
};

/** Trains to step 6, saving at each second one, and loses the GPU once before one of them. */
function loopThatLoses(at: number | null): { loop: TrainingLoop<number[]>; begun: number[] } {
  let left = at;
  const begun: number[] = [];
  const loop: TrainingLoop<number[]> = async (client) => {
    const losses: number[] = [];
    for (let step = client.loopState?.step ?? 0; step < 6; step++) {
      begun.push(step);
      const pass = client.forwardBackward(SOME_DATA, 'cross_entropy');
      const stepped = client.optimStep({ learningRate: 5e-3 });
      if (step === left) {
        left = null;
        await loseGpu();
      }
      losses.push((await pass).metrics['loss:sum'] ?? NaN);
      await stepped;
      if (step % 2 === 1) await client.saveState(`s${String(step + 1)}`, { loopState: { step: step + 1 } });
    }
    return losses;
  };
  return { loop, begun };
}

test('recovery goes on from the newest checkpoint on a new device, with the bits of a run that lost nothing', async () => {
  const whole = await open();
  const wanted = await loopThatLoses(null).loop(whole, new AbortController().signal);
  const sampler = await whole.saveWeightsAndGetSamplingClient({ name: 'sampler' });
  const before = await sampler.computeLogprobs([1, 315, 202, 361]);
  const events: unknown[] = [];
  const executor = new RecoveryExecutor(
    { backoffSeconds: [0, 0], pollSeconds: 0 },
    {
      onDetected: ({ error }) => events.push((error as { code?: string }).code),
      onRestored: ({ fromStep, lostSteps }) => events.push([fromStep, lostSteps]),
    },
  );
  const { loop, begun } = loopThatLoses(3);
  const losses = await executor.run(await open(), loop);
  expect(events).toEqual(['GPU_LOST', [2, 1]]);
  expect(begun).toEqual([0, 1, 2, 3, 2, 3, 4, 5]);
  expect(losses).toEqual(wanted.slice(2));
  // What was open on the lost device says so, each call of it, and nothing of it is used again.
  for (const call of [
    () => sampler.computeLogprobs([1, 315, 202, 361]),
    () => sampler.sample([1, 315], { numSamples: 2, samplingParams: { maxTokens: 2 } }),
    () => whole.forward(SOME_DATA, 'cross_entropy'),
    () => whole.saveState('too-late'),
  ])
    await expect(call()).rejects.toMatchObject({ code: 'GPU_LOST' });
  const path = `lorikeet://${whole.runId}/sampler_weights/sampler`;
  const again = await service.createSamplingClient({ modelPath: path });
  expect(await again.computeLogprobs([1, 315, 202, 361])).toEqual(before);
  await sampler.hotLoad(path);
  expect(await sampler.computeLogprobs([1, 315, 202, 361])).toEqual(before);
  await Promise.all([again.close(), sampler.close(), whole.dispose()]);
});

test('a step behind a lost gradient says that the GPU is lost, and the next client has a new one', async () => {
  const client = await open();
  const pass = client.forwardBackward(SOME_DATA, 'cross_entropy');
  const stepped = client.optimStep({ learningRate: 5e-3 });
  await loseGpu();
  const [first, second] = await Promise.allSettled([pass, stepped]);
  for (const outcome of [first, second])
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'GPU_LOST' } });
  await client.dispose();
  const next = await open();
  expect((await next.forward(SOME_DATA, 'cross_entropy')).metrics['loss:sum']).toBeGreaterThan(0);
  await next.dispose();
});
