// The clients against a real SkyRL server (npm run test:remote).
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as ad from '../../src/autodiff/index.ts';
import { ServiceClient } from '../../src/api/service-client.ts';
import type { CapabilityReport } from '../../src/api/capabilities.ts';
import type { LorikeetWarning } from '../../src/api/warnings.ts';
import { ROWS, logprobs, runProgram, toData, type ProgramOptions, type ProgramReport } from './program.ts';

const baseUrl = process.env['LORIKEET_REMOTE_URL'] ?? '';
const baseModel = basename(process.env['LORIKEET_REMOTE_MODEL'] ?? '');
/** Names of checkpoints are used once: the server may have been running before. */
const tag = `t${Date.now().toString(36)}`;

const options: ProgramOptions = {
  baseModel,
  rank: 8,
  seed: 0,
  rows: ROWS,
  steps: 4,
  learningRate: 0.01,
  tag,
};

const warnings: LorikeetWarning[] = [];
const connect = (more: object = {}): ServiceClient =>
  new ServiceClient({ backend: { baseUrl, ...more }, env: {}, onWarning: (w) => warnings.push(w) });

const largest = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Infinity))), 0);

describe('a real server', () => {
  let service: ServiceClient;
  let report: ProgramReport;
  let capabilities: CapabilityReport;

  beforeAll(async () => {
    service = connect();
    capabilities = await service.capabilities();
    report = await runProgram(service, options);
  });

  afterAll(async () => {
    await service.close();
  });

  it('is recognised, and serves the model', async () => {
    expect(capabilities.dialect).toBe('skyrl');
    expect((await service.getServerCapabilities()).supportedModels).toEqual([{ modelName: baseModel }]);
  });

  it('learns', () => {
    expect(report.losses).toHaveLength(4);
    expect(report.losses.every(Number.isFinite)).toBe(true);
    expect(report.losses.at(-1)).toBeLessThan((report.losses[0] ?? 0) - 1);
    expect(report.sampled).toHaveLength(8);
  });

  it('goes on with the optimizer as if nothing had happened', () => {
    expect(report.withOptimizer).toEqual(report.uninterrupted);
    expect(largest(report.after, report.uninterrupted)).toBeGreaterThan(0.01);
  });

  it('starts the optimizer afresh without it, or warns that it does not', () => {
    const cold = largest(report.weightsOnly, report.uninterrupted);
    const warned = warnings.some(({ code }) => code === 'OPTIMIZER_FLAG_IGNORED');
    expect(cold > 0.01).toBe(capabilities.features.load_weights_only.support === 'native');
    expect(warned).toBe(cold === 0);
  });

  it('lists both kinds, gives the archive, and deletes or refuses by name', async () => {
    const rest = service.createRestClient();
    const { checkpoints } = await rest.listCheckpoints(report.runId);
    expect(checkpoints.map(({ path }) => path)).toEqual([report.statePath, report.samplerPath]);
    const { bytes, fileName } = await rest.downloadCheckpointArchive(report.samplerPath);
    expect(fileName).toContain(tag);
    expect([bytes?.[0], bytes?.[1]]).toEqual([0x1f, 0x8b]);
    const outcome = await rest.deleteCheckpointFromPath(report.samplerPath).then(
      () => 'deleted',
      (e: unknown) => (e as Error).name,
    );
    expect(outcome).toBe(
      capabilities.features.delete_checkpoint.support === 'native' ? 'deleted' : 'UnsupportedFeatureError',
    );
  });

  it('says what it does otherwise', () => {
    const codes = warnings.map(({ code }) => code);
    expect(codes).toEqual(
      expect.arrayContaining(['LOSS_IS_A_MEAN', 'METRICS_COMPUTED_HERE', 'USER_METADATA_KEPT_HERE']),
    );
  });

  it('is never made to overwrite weights in training by sampling', async () => {
    const client = await service.createLoraTrainingClient(baseModel, { rank: 8, seed: 3 });
    const data = toData(ROWS);
    const { path } = await client.saveWeightsForSampler(`${tag}-old`);
    const sampler = await client.createSamplingClient(path);
    await client.train(data, 'cross_entropy', { learningRate: 0.01 });
    const before = await logprobs(client, data);
    const params = { samplingParams: { maxTokens: 2, temperature: 0, seed: 1 } };
    await expect(sampler.sample([1, 2, 3], params)).rejects.toThrow('over the weights being trained');
    expect(await logprobs(client, data)).toEqual(before);
    await client.dispose();
  });

  it('loads into a used client by way of a fresh model', async () => {
    const client = await service.createLoraTrainingClient(baseModel, { rank: 8, seed: 4 });
    const data = toData(ROWS);
    await client.train(data, 'cross_entropy', { learningRate: 0.01 });
    const former = client.runId;
    const loading = client.loadStateWithOptimizer(report.statePath);
    const forward = client.forward(data, 'cross_entropy');
    expect((await loading).loopState).toEqual({ step: 4 });
    const values = (await forward).lossFnOutputs.flatMap((o) =>
      Array.from(o['logprobs']?.data ?? [], Number),
    );
    expect(values).toEqual(report.after);
    expect(client.runId).not.toBe(former);
    expect(warnings.map(({ code }) => code)).toContain('RUN_REPLACED');
    await expect(client.loadState(`tinker://${report.runId}/weights/${tag}-nothing`)).rejects.toMatchObject({
      name: 'CheckpointNotFoundError',
    });
    expect(await logprobs(client, data)).toEqual(report.after);
    await client.dispose();
  });

  it('leaves no gradient behind for the next model', async () => {
    const data = toData(ROWS);
    const first = await service.createLoraTrainingClient(baseModel, { rank: 8, seed: 5 });
    await first.forwardBackward(data, 'cross_entropy');
    await first.dispose();
    const second = await service.createLoraTrainingClient(baseModel, { rank: 8, seed: 5 });
    const { metrics = {} } = await second.optimStep({ learningRate: 0 });
    expect(metrics['skyrl.ai/grad_norm']).toBe(0);
    await second.dispose();
  });

  it('gives a custom loss its gradient: the norm that a summed cross entropy would have', async () => {
    // A sum over weights of 1 in one sequence of N tokens: the server's own gradient is 1/N of it.
    const [row = []] = ROWS;
    const inputs = row.slice(0, -1);
    const datum = {
      modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: inputs }] },
      lossFnInputs: { targetTokens: row.slice(1), weights: inputs.map(() => 1) },
    };
    const plain = { ...datum, lossFnInputs: { targetTokens: row.slice(1) } };
    const norms: number[] = [];
    const losses: number[] = [];
    for (const pass of ['mean', 'custom', 'callback', 'two', 'masked'] as const) {
      const client = await service.createLoraTrainingClient(baseModel, { rank: 8, seed: 6 });
      const data =
        pass === 'two' ? [plain, plain] : pass === 'masked' ? [plain, ...toData(ROWS.slice(1))] : [plain];
      if (pass === 'mean') await client.forwardBackward([datum], 'cross_entropy');
      else if (pass === 'callback') {
        const { metrics } = await client.forwardBackwardCustom(data, (_, lists) => ({
          loss: -lists.flatMap((list) => [...list]).reduce((a, b) => a + b, 0),
          gradLogprobs: lists.map((list) => new Float32Array(list.length).fill(-1)),
        }));
        losses.push(metrics['loss:sum'] ?? NaN);
      } else {
        await client.forwardBackwardCustom(data, (_, lists) => ({
          loss: ad.neg(ad.sum(pass === 'masked' ? (lists[0] ?? []) : ad.concat(lists))),
          metrics: { mine: 1 },
        }));
      }
      const { metrics = {} } = await client.optimStep({ learningRate: 0 });
      norms.push(metrics['skyrl.ai/grad_norm'] ?? NaN);
      await client.dispose();
    }
    const [mean = NaN, custom = NaN, callback = NaN, two = NaN, masked = NaN] = norms;
    expect(Math.abs(custom / (mean * inputs.length) - 1)).toBeLessThan(1e-4);
    expect(callback).toBe(custom);
    expect(losses[0]).toBeGreaterThan(10);
    // A sequence of another length without a share in the loss changes nothing.
    expect(Math.abs(masked / custom - 1)).toBeLessThan(1e-4);
    // Twice the same sequence is twice the sum.
    expect(Math.abs(two / (2 * custom) - 1)).toBeLessThan(1e-4);
  });

  it('sums reinforcement losses where that is asked for', async () => {
    const summing = connect({ emulateSumLoss: true });
    const [row = []] = ROWS;
    const inputs = row.slice(0, -1);
    const norms: number[] = [];
    for (const emulate of [false, true]) {
      const client = await (emulate ? summing : service).createLoraTrainingClient(baseModel, {
        rank: 8,
        seed: 6,
      });
      const plain = [
        {
          modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: inputs }] },
          lossFnInputs: { targetTokens: row.slice(1) },
        },
      ];
      const q = await logprobs(client, plain);
      const datum = {
        ...plain[0],
        lossFnInputs: {
          targetTokens: row.slice(1),
          logprobs: q,
          advantages: inputs.map((_, i) => (i < 4 ? 0 : 1)),
        },
      };
      const data = [datum, datum] as typeof plain;
      await client.forwardBackward(data, 'importance_sampling');
      const { metrics = {} } = await client.optimStep({ learningRate: 0 });
      norms.push(metrics['skyrl.ai/grad_norm'] ?? NaN);
      await client.dispose();
    }
    await summing.close();
    expect(Math.abs((norms[1] ?? NaN) / ((norms[0] ?? NaN) * (inputs.length - 4) * 2) - 1)).toBeLessThan(
      1e-4,
    );
  });

  it('refuses what does not fit, typed, and goes on', async () => {
    await expect(service.createLoraTrainingClient(baseModel, { rank: 64 })).rejects.toThrow('rank 64');
    const client = await service.createLoraTrainingClient(baseModel, { rank: 4, seed: 0 });
    await expect(client.loadStateWithOptimizer(report.statePath)).rejects.toMatchObject({
      name: 'LoraConfigMismatchError',
    });
    await client.saveState(`${tag}-once`);
    await expect(client.saveState(`${tag}-once`)).rejects.toMatchObject({ name: 'CheckpointExistsError' });
    expect((await logprobs(client, toData(ROWS))).every(Number.isFinite)).toBe(true);
    await client.dispose();
  });

  it('proves resumption on clients of its own', async () => {
    const client = await service.createLoraTrainingClient(baseModel, { rank: 8, seed: 0 });
    const proof = await client.verifyResume({
      data: toData(ROWS),
      steps: 2,
      adamParams: { learningRate: 0.01 },
    });
    expect(proof.differences).toEqual([]);
    expect(proof.equal).toBe(true);
    expect(proof.values).toBeGreaterThan(100);
    await client.dispose();
  });
});
