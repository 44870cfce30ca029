/** The clients on this machine's engine and store: training, saving, loading, sampling, as the interface promises. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingClient } from '../api/training-client.ts';
import type { ForwardBackwardOutput } from '../api/types.ts';
import { useGpu } from '../engine/testing/gpu.ts';
import { OTHER_ID, SOME_DATA, testService, TINY_ID, type TestService } from './testing-local.ts';

useGpu();
let tests: TestService;
beforeAll(async () => {
  tests = await testService();
});
afterAll(() => tests.remove());

const ADAM = { learningRate: 5e-3, gradClipNorm: 1 };
const LORA = { rank: 4, alpha: 8, seed: 3, trainUnembed: false };

const fresh = (options: object = {}): Promise<TrainingClient> =>
  tests.service.createLoraTrainingClient(TINY_ID, { ...LORA, ...options });

const logprobs = ({ lossFnOutputs }: ForwardBackwardOutput): number[] =>
  lossFnOutputs.flatMap((output) => Array.from(output['logprobs']?.data ?? [], Number));

async function step(client: TrainingClient): Promise<number[]> {
  const pass = client.forwardBackward(SOME_DATA, 'cross_entropy');
  const stepped = client.optimStep(ADAM, { emitGradNormMetrics: 'basic' });
  const { metrics = {} } = await stepped;
  return [...logprobs(await pass), metrics['gradNorm'] ?? NaN];
}

describe('training', () => {
  test('the loss is a sum and falls; a forward pass changes nothing', async () => {
    const client = await fresh();
    const first = await client.forward(SOME_DATA, 'cross_entropy');
    const again = await client.forward(SOME_DATA, 'cross_entropy');
    expect(logprobs(again)).toEqual(logprobs(first));
    let sum = 0;
    SOME_DATA.forEach(({ lossFnInputs }, i) => {
      const weights = lossFnInputs['weights'] as readonly number[];
      const found = first.lossFnOutputs[i]?.['logprobs']?.data ?? [];
      weights.forEach((weight, j) => (sum -= weight * Number(found[j])));
    });
    expect(first.metrics['loss:sum']).toBeCloseTo(sum, 5);
    for (let i = 0; i < 8; i++) await step(client);
    const last = await client.forward(SOME_DATA, 'cross_entropy');
    expect(last.metrics['loss:sum']).toBeLessThan(0.7 * sum);
    await client.dispose();
  });

  test('submitted ahead gives the same bits as awaiting each call', async () => {
    const ahead = await fresh();
    const passes = Array.from(
      { length: 4 },
      () =>
        [
          ahead.forwardBackward(SOME_DATA, 'cross_entropy'),
          ahead.optimStep(ADAM, { emitGradNormMetrics: 'basic' }),
        ] as const,
    );
    const piped: number[][] = [];
    for (const [pass, stepped] of passes)
      piped.push([...logprobs(await pass), (await stepped).metrics?.['gradNorm'] ?? NaN]);
    const awaited = await fresh();
    const strict: number[][] = [];
    for (let i = 0; i < 4; i++) {
      const pass = await awaited.forwardBackward(SOME_DATA, 'cross_entropy');
      const { metrics } = await awaited.optimStep(ADAM, { emitGradNormMetrics: 'basic' });
      strict.push([...logprobs(pass), metrics?.['gradNorm'] ?? NaN]);
    }
    expect(piped).toEqual(strict);
    await Promise.all([ahead.dispose(), awaited.dispose()]);
  });

  test('a session that had to grow for a long sequence gives the same bits', async () => {
    const small = await fresh();
    const before = await step(small);
    const large = await fresh();
    const longest = Array.from({ length: 512 }, (_, i) => (i * 7) % 4000);
    await large.forward(
      [
        {
          modelInput: { chunks: [{ type: 'encoded_text', tokens: longest }] },
          lossFnInputs: { targetTokens: longest },
        },
      ],
      'cross_entropy',
    );
    expect(await step(large)).toEqual(before);
    await Promise.all([small.dispose(), large.dispose()]);
  });

  test('gradients accumulate and are divided as asked before clipping', async () => {
    const whole = await fresh();
    const parts = await fresh();
    await whole.forwardBackward(SOME_DATA, 'cross_entropy');
    for (const datum of SOME_DATA) await parts.forwardBackward([datum], 'cross_entropy');
    const options = {
      emitGradNormMetrics: 'detailed',
      gradAccumulationNormalization: 'num_sequences',
    } as const;
    const one = await whole.optimStep({}, options);
    const three = await parts.optimStep({}, options);
    expect(three.metrics?.['gradNorm']).toBeCloseTo(one.metrics?.['gradNorm'] ?? NaN, 5);
    const plain = await fresh();
    await plain.forwardBackward(SOME_DATA, 'cross_entropy');
    const undivided = await plain.optimStep({}, { emitGradNormMetrics: 'basic' });
    expect((undivided.metrics?.['gradNorm'] ?? NaN) / 3).toBeCloseTo(one.metrics?.['gradNorm'] ?? NaN, 5);
    expect(Object.keys(one.metrics ?? {}).length).toBeGreaterThan(10);
    await Promise.all([whole, parts, plain].map((client) => client.dispose()));
  });

  test('what is wrong is refused at once, and the next call is not poisoned', async () => {
    const client = await fresh();
    const outside = { ...SOME_DATA[0], lossFnInputs: { targetTokens: Array<number>(9).fill(5000) } };
    await expect(client.forwardBackward([outside as never], 'cross_entropy')).rejects.toMatchObject({
      code: 'DATA_INVALID',
      status: 400,
    });
    expect(await step(client)).toHaveLength(28);
    await client.dispose();
    await expect(client.forward(SOME_DATA, 'cross_entropy')).rejects.toMatchObject({
      code: 'API_CLIENT_CLOSED',
    });
  });

  test('a custom loss moves the weights as the built-in one that it equals', async () => {
    const custom = await fresh();
    const builtIn = await fresh();
    await custom.forwardBackwardCustom(SOME_DATA, (data, found) => ({
      loss: 0,
      gradLogprobs: found.map((_, i) =>
        Float32Array.from(data[i]?.lossFnInputs['weights'] as readonly number[], (weight) => -weight),
      ),
    }));
    await builtIn.forwardBackward(SOME_DATA, 'cross_entropy');
    const options = { emitGradNormMetrics: 'basic' } as const;
    expect(await custom.optimStep(ADAM, options)).toEqual(await builtIn.optimStep(ADAM, options));
    expect(logprobs(await custom.forward(SOME_DATA, 'cross_entropy'))).toEqual(
      logprobs(await builtIn.forward(SOME_DATA, 'cross_entropy')),
    );
    await Promise.all([custom.dispose(), builtIn.dispose()]);
  });
});

describe('saving and loading', () => {
  test('with the optimizer a run goes on bit for bit, without it it does not', async () => {
    const client = await fresh();
    await step(client);
    await step(client);
    const { path, sizeBytes = 0 } = await client.saveState('two', {
      metadata: { note: 'after two' },
      loopState: { step: 2, nextBatch: 5 },
    });
    expect(sizeBytes).toBeGreaterThan(10_000);
    const straight = [await step(client), await step(client)];
    const service = tests.another();
    const warm = await service.createTrainingClientFromStateWithOptimizer(path);
    expect(warm.loopState).toMatchObject({ step: 2, nextBatch: 5 });
    expect(warm.metadata).toEqual({ note: 'after two' });
    expect([await step(warm), await step(warm)]).toEqual(straight);
    const cold = await service.createTrainingClientFromState(path);
    const first = await step(cold);
    // The same weights see the same data; the step after them is another one.
    expect(first).toEqual(straight[0]);
    expect(await step(cold)).not.toEqual(straight[1]);
    // Into a client that is in use.
    await client.loadStateWithOptimizer(path);
    expect([await step(client), await step(client)]).toEqual(straight);
    await client.loadState('two');
    expect(await step(client)).toEqual(straight[0]);
    expect(await step(client)).not.toEqual(straight[1]);
    await client.dispose();
  });

  test('a save between forwardBackward and optimStep keeps the gradient and what divides it', async () => {
    const client = await fresh();
    await step(client);
    await client.forwardBackward(SOME_DATA, 'cross_entropy');
    const { path } = await client.saveState('between');
    const divided = {
      gradAccumulationNormalization: 'num_loss_tokens',
      emitGradNormMetrics: 'basic',
    } as const;
    const straight = [await client.optimStep(ADAM, divided), await step(client)];
    const other = await tests.service.loadTrainingClient(path);
    expect([await other.optimStep(ADAM, divided), await step(other)]).toEqual(straight);
    await Promise.all([client.dispose(), other.dispose()]);
  });

  test('a training and a sampler checkpoint may share a name, also when they are saved at once', async () => {
    const client = await fresh();
    const [state, sampler] = await Promise.all([
      client.saveState('both'),
      client.saveWeightsForSampler('both'),
    ]);
    const { checkpoints } = await tests.service.createRestClient().listCheckpoints(client.runId);
    expect(checkpoints.map(({ path }) => path).sort()).toEqual([state.path, sampler.path].sort());
    await expect(client.saveState('both')).rejects.toMatchObject({ code: 'CHECKPOINT_EXISTS' });
    await expect(client.saveWeightsForSampler('both')).rejects.toMatchObject({ code: 'CHECKPOINT_EXISTS' });
    await client.dispose();
  });

  test('verifyResume proves it', async () => {
    const client = await fresh();
    await step(client);
    const report = await client.verifyResume({ data: SOME_DATA, steps: 2, adamParams: ADAM });
    expect(report).toMatchObject({ equal: true, differences: [] });
    expect(await client.listCheckpoints()).toEqual([]);
    await client.dispose();
  });

  test('what does not fit is refused by its own error, and nothing changes', async () => {
    const client = await fresh();
    const { path } = await client.saveState('fits');
    const sampler = await client.saveWeightsForSampler('fits');
    const wider = await fresh({ rank: 8 });
    const before = await step(wider);
    await expect(wider.loadState(path)).rejects.toMatchObject({ code: 'ADAPTER_MISMATCH', field: 'rank' });
    await expect(client.loadStateWithOptimizer(sampler.path)).rejects.toMatchObject({
      code: 'STATE_INCOMPLETE',
    });
    await expect(client.loadState('lorikeet://nowhere/weights/x')).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
    const again = await fresh({ rank: 8 });
    expect(await step(again)).toEqual(before);
    await expect(client.saveState('fits')).rejects.toMatchObject({ code: 'CHECKPOINT_EXISTS' });
    await client.saveState('fits', { overwrite: true });
    await Promise.all([client.dispose(), wider.dispose(), again.dispose()]);
  });
});

describe('sampling', () => {
  const prompt = [1, 315, 202, 361, 307, 1301, 14, 21, 34, 2, 202];
  const params = { maxTokens: 8, seed: 7, temperature: 1 };

  test('a sampler answers with its snapshot until it is told to switch; a stream has the same samples', async () => {
    const client = await fresh();
    const sampler = await client.saveWeightsAndGetSamplingClient({ name: 'start' });
    const draw = async (): Promise<number[][]> =>
      (await sampler.sample(prompt, { numSamples: 2, samplingParams: params })).sequences.map(
        (s) => s.tokens,
      );
    const before = await draw();
    expect(await draw()).toEqual(before);
    expect(before[0]).not.toEqual(before[1]);
    for (let i = 0; i < 3; i++) await step(client);
    expect(await draw()).toEqual(before);
    const later = await client.saveWeightsForSampler('later');
    const scored = await sampler.computeLogprobs(prompt);
    await sampler.hotLoad(later.path);
    expect(sampler.snapshot).toBe(later.path);
    expect(await sampler.computeLogprobs(prompt)).not.toEqual(scored);
    await expect(sampler.hotLoad('lorikeet://nowhere/sampler_weights/x')).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
    expect(sampler.snapshot).toBe(later.path);
    // A stream draws one after the other, `sample` draws them side by side.
    const wanted = { numSamples: 5, samplingParams: { ...params, maxTokens: 12, stop: [' the', '.'] } };
    const streamed = Array.from({ length: 5 }, () => ({
      stopReason: 'length',
      tokens: [] as number[],
      logprobs: [] as number[],
    }));
    for await (const event of sampler.sampleStream(prompt, wanted)) {
      const sequence = streamed[event.sample];
      if ('token' in event) {
        sequence?.tokens.push(event.token);
        sequence?.logprobs.push(event.logprob ?? NaN);
      } else if (sequence) sequence.stopReason = event.stopReason;
    }
    expect(streamed).toEqual((await sampler.sample(prompt, wanted)).sequences);
    expect(new Set(streamed.map(({ tokens }) => tokens.length)).size).toBeGreaterThan(1);
    await sampler.close();
    await client.dispose();
  });

  test('weights of another base model are not switched to, and the old ones go on answering', async () => {
    const other = await tests.service.createLoraTrainingClient(OTHER_ID, LORA);
    const { path } = await other.saveWeightsForSampler('other');
    const client = await fresh();
    const sampler = await client.saveWeightsAndGetSamplingClient();
    const before = await sampler.computeLogprobs(prompt);
    await expect(sampler.hotLoad(path)).rejects.toMatchObject({ code: 'BASE_MISMATCH', expected: TINY_ID });
    expect(await sampler.computeLogprobs(prompt)).toEqual(before);
    await expect(client.loadState(path)).rejects.toMatchObject({ code: 'BASE_MISMATCH', actual: OTHER_ID });
    await Promise.all([sampler.close(), client.dispose(), other.dispose()]);
  });

  test('log-probabilities are those of the training pass, and the base model is scale 0', async () => {
    const client = await fresh();
    for (let i = 0; i < 3; i++) await step(client);
    const sampler = await client.saveWeightsAndGetSamplingClient();
    const scored = await sampler.computeLogprobs(prompt);
    const targets = [
      {
        modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: prompt.slice(0, -1) }] },
        lossFnInputs: { targetTokens: prompt.slice(1) },
      },
    ];
    const trained = logprobs(await client.forward(targets, 'cross_entropy'));
    expect(scored[0]).toBeNull();
    scored.slice(1).forEach((value, i) => expect(value).toBeCloseTo(trained[i] ?? NaN, 4));
    const base = await tests.service.createSamplingClient({ baseModel: TINY_ID });
    const start = await fresh();
    const untrained = logprobs(await start.forward(targets, 'cross_entropy'));
    (await base.computeLogprobs(prompt))
      .slice(1)
      .forEach((value, i) => expect(value).toBeCloseTo(untrained[i] ?? NaN, 4));
    const { topkPromptLogprobs = [] } = await base.sample(prompt, {
      topkPromptLogprobs: 3,
      samplingParams: { maxTokens: 1 },
    });
    expect(topkPromptLogprobs).toHaveLength(prompt.length);
    expect(topkPromptLogprobs[1]).toHaveLength(3);
    await Promise.all([sampler.close(), base.close(), client.dispose(), start.dispose()]);
  });
});

describe('runs and checkpoints', () => {
  test('are listed, marked, searched, promoted, copied, downloaded, imported and deleted', async () => {
    const client = await fresh();
    await step(client);
    const state = await client.saveState('s1', { metadata: { evalLoss: 2 }, loopState: { step: 1 } });
    const sampler = await client.saveWeightsForSampler('s1', { ttlSeconds: 3600 });
    const rest = tests.service.createRestClient();
    const { checkpoints } = await rest.listCheckpoints(client.runId);
    expect(checkpoints.map(({ checkpointId }) => checkpointId)).toEqual(['weights/s1', 'sampler_weights/s1']);
    expect(checkpoints[1]?.expiresAt).toBeDefined();
    await rest.setCheckpointTtl(sampler.path, null);
    await rest.publish(sampler.path);
    const found = await rest.searchCheckpoints({ metric: { name: 'evalLoss', max: 2 } });
    expect(found.checkpoints.map(({ path }) => path)).toContain(state.path);
    const { trainingRuns } = await rest.listTrainingRuns();
    expect(trainingRuns.map(({ trainingRunId }) => trainingRunId)).toContain(client.runId);
    const info = await rest.getWeightsInfo(state.path);
    expect(info).toMatchObject({ baseModel: TINY_ID, loraRank: 4, alpha: 8, trainUnembed: false });
    const { modelId } = await rest.promoteCheckpoint({
      name: sampler.path,
      outputModelId: 'my-model',
      baseModel: TINY_ID,
    });
    const promoted = await tests.service.createSamplingClient({ baseModel: modelId });
    const direct = await tests.service.createSamplingClient({ modelPath: sampler.path });
    expect(await promoted.computeLogprobs([1, 315, 202])).toEqual(
      await direct.computeLogprobs([1, 315, 202]),
    );
    await Promise.all([promoted.close(), direct.close()]);
    const copy = await tests.service.copyWeights(state.path);
    const copied = await tests.service.createTrainingClientFromStateWithOptimizer(copy);
    expect(await step(copied)).toEqual(await step(client));
    for (const layout of ['peft', 'bios', 'tinker'] as const) {
      const { bytes } = await rest.downloadCheckpointArchive(state.path, { layout });
      expect(bytes?.byteLength).toBeGreaterThan(5000);
    }
    await rest.deleteCheckpointFromPath(state.path);
    await expect(rest.getWeightsInfo(state.path)).rejects.toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' });
    await expect(rest.listCheckpoints('nobody')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
    await Promise.all([client.dispose(), copied.dispose()]);
  });
});
