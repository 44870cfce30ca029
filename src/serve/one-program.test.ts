import { describe, expect, it } from 'vitest';
import * as ad from '../autodiff/index.ts';
import { ServiceClient } from '../api/service-client.ts';
import { createBigramBackend } from '../api/testing-bigram-backend.ts';
import { DATA, rl } from '../api/testing-data.ts';
import { serve } from './testing-serve.ts';

const logprobsOf = (output: { lossFnOutputs: Record<string, { data: ArrayLike<number | bigint> }>[] }) =>
  output.lossFnOutputs.map((o) => Array.from(o['logprobs']?.data ?? [], Number));

/** Trains with every loss, submits ahead, saves, loads both ways, samples, lists and deletes. */
async function program(service: ServiceClient): Promise<unknown[]> {
  const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 9 });
  const seen: unknown[] = [];
  const q = logprobsOf(await client.forward(DATA, 'cross_entropy'));
  seen.push(q);
  const calls = [
    client.forwardBackward(DATA, 'cross_entropy'),
    client.optimStep({ learningRate: 0.1 }),
    client.forwardBackward(rl(q), 'importance_sampling'),
    client.forwardBackward(rl(q), 'ppo', { clipLowThreshold: 0.9, clipHighThreshold: 1.1 }),
    client.optimStep({ learningRate: 0.05, weightDecay: 0.1, gradClipNorm: 0.5 }),
    client.forwardBackward(rl(q), 'cispo'),
    client.forwardBackward(rl(q), 'dro', { beta: 0.05 }),
    client.forwardBackwardCustom(DATA, (_, lists) => ({ loss: ad.mean(ad.square(ad.concat(lists))) })),
    client.optimStep({ learningRate: 0.05 }),
  ];
  for (const call of calls) {
    const result = await call;
    seen.push('lossFnOutputs' in result ? logprobsOf(result) : null, result.metrics);
  }
  const { path } = await client.saveState('half');
  const step = async (c: typeof client): Promise<void> => {
    await c.forwardBackward(DATA, 'cross_entropy');
    await c.optimStep({ learningRate: 0.05 });
    seen.push(logprobsOf(await c.forward(DATA, 'cross_entropy')));
  };
  await step(client);
  await step(await service.createTrainingClientFromStateWithOptimizer(path));
  await step(await service.createTrainingClientFromState(path));
  const sampler = await client.saveWeightsAndGetSamplingClient();
  const prompt = { chunks: [{ type: 'encoded_text' as const, tokens: [1, 2] }] };
  const params = { maxTokens: 5, seed: 3, temperature: 1 };
  const drawn = await sampler.sample(prompt, {
    numSamples: 2,
    samplingParams: params,
    includePromptLogprobs: true,
  });
  seen.push(drawn.sequences, drawn.promptLogprobs, await sampler.computeLogprobs(prompt));
  const named = await client.saveWeightsForSampler('final');
  const rest = service.createRestClient();
  const rows = await rest.listCheckpoints(client.runId);
  seen.push(rows.checkpoints.map(({ checkpointId, checkpointType }) => [checkpointId, checkpointType]));
  await rest.deleteCheckpointFromPath(named.path);
  seen.push((await rest.listCheckpoints(client.runId)).checkpoints.length);
  // The official service loads into fresh models only, so the run may be another one from here on.
  await client.loadStateWithOptimizer(path);
  await step(client);
  await client.dispose();
  return seen;
}

/** Numbers of the wire are float32 where they are tensors; the rest is equal. */
const rounded = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, inner: unknown) =>
    typeof inner === 'number' ? Math.fround(inner) : inner,
  );

describe('one program', () => {
  it.each(['protobuf', 'json'] as const)(
    'gives the same numbers here and through the server, in %s',
    async (encoding) => {
      const local = new ServiceClient({
        backend: createBigramBackend(),
        env: {},
        onWarning: () => undefined,
      });
      const { server } = await serve();
      const remote = new ServiceClient({
        backend: { baseUrl: server.url, encoding },
        env: {},
        onWarning: () => undefined,
      });
      const [a, b] = [await program(local), await program(remote)];
      await remote.close();
      expect(rounded(b)).toEqual(rounded(a));
    },
  );
});
