/** Methods of the clients that no other test file asks for by themselves, on the tests' engine. */
import { describe, expect, it } from 'vitest';
import { CheckpointManager } from './checkpoint-manager.ts';
import { APITimeoutError, BadRequestError } from './errors.ts';
import { CheckpointNotFoundError, UnsupportedFeatureError } from './own-errors.ts';
import { PPOTrainer } from './ppo-trainer.ts';
import { SamplingClient } from './sampling-client.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend } from './testing-bigram-backend.ts';
import type { Datum } from './types.ts';

const DATA: Datum[] = [
  {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2, 3] }] },
    lossFnInputs: { targetTokens: [2, 3, 1] },
  },
];
const DRAW = { numSamples: 2, samplingParams: { maxTokens: 4, seed: 3 } };

async function setUp() {
  const backend = createBigramBackend();
  const service = new ServiceClient({ backend, env: {}, onWarning: () => undefined });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4, userMetadata: { a: 'b' } });
  return { backend, service, client, rest: service.createRestClient() };
}

describe('a sampler', () => {
  it('needs exactly one source', async () => {
    const { service, client } = await setUp();
    const { path } = await client.saveWeightsForSampler('s');
    for (const options of [{}, { baseModel: 'bigram', modelPath: path }, { baseModel: '' }])
      await expect(service.createSamplingClient(options)).rejects.toBeInstanceOf(BadRequestError);
    const base = await service.createSamplingClient({ baseModel: 'bigram' });
    expect([base.getBaseModel(), base.snapshot]).toEqual(['bigram', null]);
    await expect(
      service.createSamplingClient({ modelPath: 'lorikeet://run_9/sampler_weights/s' }),
    ).rejects.toBeInstanceOf(CheckpointNotFoundError);
  });

  it('of the weights at this turn is kept under its name, or not at all', async () => {
    const { client } = await setUp();
    const kept = await client.saveWeightsAndGetSamplingClient({ name: 'kept' });
    expect(kept.snapshot).toBe(`lorikeet://${client.runId}/sampler_weights/kept`);
    const before = await kept.sample([1], DRAW);
    const training = client.train(DATA, 'cross_entropy', { learningRate: 0.5 });
    const later = client.saveWeightsAndGetSamplingClient();
    await training;
    const after = await (await later).computeLogprobs([1, 2]);
    expect(after).not.toEqual(await kept.computeLogprobs([1, 2]));
    expect(await kept.sample([1], DRAW)).toEqual(before);
  });

  it('is opened, asked and closed by a client that only wants one sample', async () => {
    const { client } = await setUp();
    const { sequences } = await client.sample([1], DRAW);
    const kept = await client.createSamplingClient((await client.saveWeightsForSampler('s')).path);
    expect(sequences).toEqual((await kept.sample([1], DRAW)).sequences);
    await expect(client.sample([], DRAW)).rejects.toThrow('The prompt is empty');
  });

  it('has a handle that can be cloned and opened elsewhere', async () => {
    const { service, client } = await setUp();
    const sampler = await client.saveWeightsAndGetSamplingClient({ name: 'shared' });
    const handle = structuredClone(await sampler.getSamplerHandle());
    const other = await SamplingClient.fromSamplerHandle(service, handle);
    expect(await other.sample([1], DRAW)).toEqual(await sampler.sample([1], DRAW));
    await expect(
      SamplingClient.fromSamplerHandle(service, { ...handle, kind: 'other' as 'lorikeet-sampler' }),
    ).rejects.toBeInstanceOf(BadRequestError);
  });
});

describe('a save', () => {
  it('for sampling tells its identity, form and size', async () => {
    const { client } = await setUp();
    const saved = await client.saveWeightsForSamplerExt('step-1', { ttlSeconds: 60 });
    expect(saved).toMatchObject({
      path: `lorikeet://${client.runId}/sampler_weights/step-1`,
      checkpointType: 'base',
      compressionRatio: 1,
    });
    expect(saved.snapshotName).toMatch(/^step-1-[0-9a-f]{8}$/);
    expect(saved.sizeBytes).toBeGreaterThan(0);
    await expect(client.saveWeightsForSampler('x', { checkpointType: 'xor' as 'delta' })).rejects.toThrow(
      'must be one of base, delta, merged_base',
    );
    await expect(client.saveWeightsForSampler('x', { ttlSeconds: 0 })).rejects.toBeInstanceOf(
      BadRequestError,
    );
  });

  it('that is given a time limit rejects after it, and is there all the same', async () => {
    const { backend, client } = await setUp();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    backend.before = (what) => (what === 'saveState' ? held : undefined);
    const saving = client.saveState('slow', { timeout: 0.02 });
    await expect(saving).rejects.toBeInstanceOf(APITimeoutError);
    release();
    const { path } = await saving.result();
    expect((await client.loadState(path, { timeout: 5 })).path).toBe(path);
  });

  it('to another store is refused by a backend that has none, and nothing is kept', async () => {
    const { client, backend } = await setUp();
    await expect(client.saveWeightsExternal('s3://bucket/runs/step-7')).rejects.toBeInstanceOf(
      UnsupportedFeatureError,
    );
    await expect(client.saveWeightsExternal('s3://bucket/.hidden')).rejects.toBeInstanceOf(BadRequestError);
    expect(backend.store.checkpoints.size).toBe(0);
  });
});

describe('a rest client', () => {
  it('copies a checkpoint into a run of its own', async () => {
    const { service, client, rest } = await setUp();
    const { path } = await client.saveState('a');
    const copy = await service.copyWeights(path);
    expect(copy).not.toBe(path);
    await rest.deleteCheckpointFromPath(path);
    const opened = await service.createTrainingClientFromState(copy);
    expect(opened.lora.rank).toBe(4);
    await expect(service.copyWeights(path)).rejects.toBeInstanceOf(CheckpointNotFoundError);
  });

  it('tells of runs, of all checkpoints, and what a state was trained with', async () => {
    const { client, rest } = await setUp();
    const { path } = await client.saveState('a');
    await client.saveWeightsForSampler('b');
    expect((await rest.listTrainingRuns()).trainingRuns.map(({ trainingRunId }) => trainingRunId)).toEqual([
      client.runId,
    ]);
    expect(await rest.getTrainingRun(client.runId, { accessScope: 'accessible' })).toMatchObject({
      isLora: true,
      loraRank: 4,
    });
    expect(await rest.getWeightsInfo(path)).toMatchObject({
      baseModel: 'bigram',
      loraRank: 4,
      alpha: 32,
      trainMlp: true,
    });
    const all = await rest.listUserCheckpoints({ limit: 1, offset: 1 });
    expect(all.checkpoints.map(({ checkpointId }) => checkpointId)).toEqual(['sampler_weights/b']);
    await expect(rest.listTrainingRuns({ limit: 0 })).rejects.toBeInstanceOf(BadRequestError);
    await expect(rest.listUserCheckpoints({ offset: -1 })).rejects.toBeInstanceOf(BadRequestError);
  });

  it('refuses by name what only a service has', async () => {
    const { rest } = await setUp();
    const calls = [
      rest.getSession('s'),
      rest.listSessions(),
      rest.assignSessionProject('s', 'p'),
      rest.exportSessionTrace('s'),
      rest.getSampler('s'),
      rest.getAuditLog(),
      rest.getBillingUsage(),
      rest.whoami(),
      rest.getExternalWeightsUrls('p'),
      rest.externalWeightsUploadStart({}),
      rest.externalWeightsUploadFinish({}),
    ];
    for (const outcome of await Promise.allSettled(calls))
      expect(outcome.status === 'rejected' && outcome.reason).toBeInstanceOf(UnsupportedFeatureError);
  });
});

describe('the programs of others', () => {
  it('save the state at one interval and sampler weights at another, and once at the end', async () => {
    const { client, backend } = await setUp();
    const states = new CheckpointManager(client, { saveEvery: 2, kind: 'state', maxCheckpoints: null });
    const samplers = new CheckpointManager(client, { saveEvery: 4, kind: 'sampler', maxCheckpoints: null });
    for (let step = 0; step <= 4; step++) {
      if (step > 0) await client.train(DATA, 'cross_entropy');
      await states.maybeSave(step);
      await samplers.maybeSave(step);
    }
    await states.saveFinal(4);
    expect([...backend.store.checkpoints.keys()].map((path) => path.split('/').slice(3).join('/'))).toEqual([
      'weights/step-000002',
      'weights/step-000004',
      'sampler_weights/step-000004',
      'weights/final',
    ]);
  });

  it('go from supervised training to reinforcement learning, with a state between', async () => {
    const { client, service } = await setUp();
    await client.train(DATA, 'cross_entropy', { learningRate: 0.1 });
    const { path } = await client.saveState('sft-final', { metadata: { stage: 'sft' } });
    const resumed = await service.loadTrainingClient(path);
    expect([resumed.step, resumed.metadata]).toEqual([1, { stage: 'sft' }]);
    const trainer = PPOTrainer.fromTrainingClient(resumed, {
      rewardFn: ({ tokens }) => tokens.filter((token) => token === 3).length,
      samplingParams: { maxTokens: 4, temperature: 1 },
      adamParams: { learningRate: 0.1 },
    });
    const rollouts = await trainer.collectRollouts([[1], [2]]);
    const rewards = await trainer.computeRewards(rollouts);
    expect((await trainer.ppoUpdate(rollouts, rewards)).steps).toBe(1);
    expect((await resumed.saveState('rl-1')).step).toBe(2);
  });
});
