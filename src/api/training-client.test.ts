import { describe, expect, it } from 'vitest';
import * as ad from '../autodiff/index.ts';
import { BadRequestError } from './errors.ts';
import {
  BaseModelMismatchError,
  CheckpointExistsError,
  CheckpointNotFoundError,
  ClientClosedError,
  OptimizerStateMissingError,
  PrecedingOperationFailedError,
} from './own-errors.ts';
import { ServiceClient } from './service-client.ts';
import { createBigramBackend, type BigramOptions } from './testing-bigram-backend.ts';
import type { TrainingClient } from './training-client.ts';
import type { Datum } from './types.ts';
import type { LorikeetWarning } from './warnings.ts';

const datum = (tokens: number[]): Datum => ({
  modelInput: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
  lossFnInputs: { targetTokens: tokens.slice(1) },
});
const DATA = [datum([1, 2, 3, 1, 2, 3]), datum([4, 5, 6, 7]), datum([7, 7, 1])];

function setUp(options: BigramOptions = {}) {
  const backend = createBigramBackend(options);
  const warnings: LorikeetWarning[] = [];
  const service = new ServiceClient({ backend, onWarning: (w) => warnings.push(w), env: {} });
  return {
    backend,
    service,
    warnings,
    create: () => service.createLoraTrainingClient('bigram', { rank: 4, seed: 1 }),
  };
}

const logprobs = async (client: TrainingClient): Promise<number[]> =>
  (await client.forward(DATA, 'cross_entropy')).lossFnOutputs.flatMap((o) =>
    Array.from(o['logprobs']?.data ?? [], Number),
  );

describe('a training client', () => {
  it('gives the same numbers ahead of time as awaited one by one', async () => {
    const { create } = setUp();
    const [ahead, strict] = [await create(), await create()];
    const futures = Array.from(
      { length: 3 },
      () => [ahead.forwardBackward(DATA, 'cross_entropy'), ahead.optimStep({ learningRate: 0.1 })] as const,
    );
    const losses = [];
    for (const [forward, step] of futures) {
      losses.push((await forward).metrics['loss:sum']);
      await step;
    }
    for (const loss of losses) {
      expect((await strict.forwardBackward(DATA, 'cross_entropy')).metrics['loss:sum']).toBe(loss);
      await strict.optimStep({ learningRate: 0.1 });
    }
    expect(await logprobs(ahead)).toEqual(await logprobs(strict));
    expect(ahead.step).toBe(3);
  });

  it.each([{ maxDatums: 1 }, { maxDatums: 2 }, { maxDatums: 1, parallel: true }])(
    'splits batches without changing the sum: %j',
    async (options) => {
      const [whole, parts] = [await setUp().create(), await setUp(options).create()];
      const one = await whole.forwardBackward(DATA, 'cross_entropy');
      const future = parts.forwardBackward(DATA, 'cross_entropy');
      expect(future.seqIds).toEqual(options.maxDatums === 2 ? [1, 2] : [1, 2, 3]);
      const several = await future;
      expect(several.lossFnOutputs).toEqual(one.lossFnOutputs);
      expect(several.metrics['loss:sum']).toBeCloseTo(one.metrics['loss:sum'] ?? NaN, 10);
      await Promise.all([whole.optimStep({ learningRate: 0.1 }), parts.optimStep({ learningRate: 0.1 })]);
      const [a, b] = [await logprobs(whole), await logprobs(parts)];
      a.forEach((value, i) => {
        expect(value).toBeCloseTo(b[i] ?? NaN, 6);
      });
    },
  );

  it('sends the first part last where parts go at once', async () => {
    const { create, backend } = setUp({ maxDatums: 1, parallel: true });
    const client = await create();
    const order: number[] = [];
    const future = client.forward(DATA, 'cross_entropy');
    backend.before = () => void order.push(1);
    const output = await future;
    expect(order).toHaveLength(3);
    expect(output.lossFnOutputs.map((o) => o['logprobs']?.data.length)).toEqual([5, 3, 2]);
  });

  it('steps on no partial gradient, and starts clean after a failure', async () => {
    const { create, backend } = setUp({ maxDatums: 1 });
    const [client, other] = [await create(), await create()];
    let count = 0;
    backend.before = (what, runId) => {
      if (what === 'forwardBackward' && runId === client.runId && ++count === 2)
        throw new Error('lost in the middle');
    };
    const failed = client.forwardBackward(DATA, 'cross_entropy');
    const step = client.optimStep({ learningRate: 0.1 });
    const next = client.forwardBackward(DATA, 'cross_entropy');
    const nextStep = client.optimStep({ learningRate: 0.1 });
    await expect(failed).rejects.toThrow('lost in the middle');
    await expect(step).rejects.toBeInstanceOf(PrecedingOperationFailedError);
    await next;
    expect(await nextStep).not.toHaveProperty('precedingFailure');
    await other.train(DATA, 'cross_entropy', { learningRate: 0.1 });
    expect(await logprobs(client)).toEqual(await logprobs(other));
  });

  it('takes no turn for a call that it refuses', async () => {
    const { create } = setUp();
    const client = await create();
    await expect(client.forwardBackward([], 'cross_entropy')).rejects.toBeInstanceOf(BadRequestError);
    await expect(client.saveState('../x')).rejects.toThrow('does not take the checkpoint name');
    await expect(client.train([], 'cross_entropy')).rejects.toBeInstanceOf(BadRequestError);
    await expect(client.train(DATA, 'cross_entropy', { learningRate: -1 })).rejects.toBeInstanceOf(
      BadRequestError,
    );
    expect(client.forward(DATA, 'cross_entropy').seqIds).toEqual([1]);
  });

  it('trains in one call', async () => {
    const { create } = setUp();
    const client = await create();
    const first = await client.train(DATA, 'cross_entropy', { learningRate: 0.1 });
    const second = await client.train(DATA, 'cross_entropy', { learningRate: 0.1 });
    expect(first.step).toBe(1);
    expect(second.step).toBe(2);
    expect(second.loss).toBeLessThan(first.loss);
    expect(second.metrics['gradNorm']).toBeGreaterThan(0);
  });

  it('closes: what was submitted is finished, what comes later is refused', async () => {
    const { create } = setUp();
    const client = await create();
    const submitted = client.forward(DATA, 'cross_entropy');
    await submitted.submitted;
    await client.dispose();
    expect((await submitted).lossFnOutputs).toHaveLength(3);
    await expect(client.optimStep()).rejects.toBeInstanceOf(ClientClosedError);
    await expect(client.getInfo()).rejects.toBeInstanceOf(ClientClosedError);
  });
});

describe('a custom loss', () => {
  it('of either shape has the gradient of the built-in loss that it equals', async () => {
    const { create } = setUp({ maxDatums: 2 });
    const [builtIn, tape, byHand] = [await create(), await create(), await create()];
    await builtIn.forwardBackward(DATA, 'cross_entropy');
    const onTape = await tape.forwardBackwardCustom(DATA, (_, lists) => ({
      loss: ad.neg(ad.sum(ad.concat(lists))),
      metrics: { mine: 7 },
    }));
    await byHand.forwardBackwardCustom(DATA, (_, lists) => ({
      loss: -lists.flatMap((list) => [...list]).reduce((a, b) => a + b, 0),
      gradLogprobs: lists.map((list) => new Float32Array(list.length).fill(-1)),
    }));
    for (const client of [builtIn, tape, byHand]) await client.optimStep({ learningRate: 0.1 });
    const wanted = await logprobs(builtIn);
    expect(onTape.metrics).toMatchObject({ mine: 7 });
    for (const client of [tape, byHand]) {
      const got = await logprobs(client);
      got.forEach((value, i) => {
        expect(value).toBeCloseTo(wanted[i] ?? NaN, 6);
      });
    }
  });

  it('of preferences (DPO) moves the pair apart', async () => {
    const { create } = setUp();
    const client = await create();
    const pair = [datum([1, 2, 3]), datum([1, 4, 5])];
    const margin = async (): Promise<number> => {
      const { lossFnOutputs } = await client.forward(pair, 'cross_entropy');
      const [a = 0, b = 0] = lossFnOutputs.map((o) =>
        Array.from(o['logprobs']?.data ?? [], Number).reduce((x, y) => x + y, 0),
      );
      return a - b;
    };
    const reference = await margin();
    for (let i = 0; i < 5; i++) {
      const backward = client.forwardBackwardCustom(pair, (_, [chosen, rejected]) => ({
        loss: ad.neg(
          ad.logsigmoid(ad.mul(ad.sub(ad.sub(ad.sum(chosen ?? []), ad.sum(rejected ?? [])), reference), 0.1)),
        ),
      }));
      await Promise.all([backward, client.optimStep({ learningRate: 0.1 })]);
    }
    expect(await margin()).toBeGreaterThan(reference + 1);
  });

  it('keeps the order of the calls around it, and gives back turns that it does not need', async () => {
    const { create, backend } = setUp();
    const client = await create();
    const custom = client.forwardBackwardCustom(DATA, () => {
      throw new Error('wrong in the callback');
    });
    const step = client.optimStep({ learningRate: 0.1 });
    expect(custom.seqIds).toEqual([1, 2]);
    expect(step.seqIds).toEqual([3]);
    await expect(custom).rejects.toThrow('wrong in the callback');
    // Nothing was accumulated: the step is one of nothing, and says why.
    expect((await step).precedingFailure).toBe('wrong in the callback');
    expect(backend.log.slice(0, 2).map((line) => line.split(' ')[1])).toEqual(['forward', 'optimStep']);
  });

  it.each([
    ['no gradient', () => ({ loss: 1 }) as never, 'gave no gradient'],
    ['nothing', () => undefined as never, 'returned nothing'],
    [
      'a gradient of another length',
      () => ({ loss: 1, gradLogprobs: [new Float32Array(1)] }),
      'gave 1 gradients for datum 0',
    ],
    ['NaN', () => ({ loss: NaN, gradLogprobs: [] }), 'The custom loss is NaN'],
    [
      'a gradient of NaN',
      (_: unknown, lists: Float32Array[]) => ({ loss: 1, gradLogprobs: lists.map((l) => l.map(() => NaN)) }),
      'is NaN for datum 0',
    ],
  ])('is refused where it gives %s', async (_, lossFn, words) => {
    const client = await setUp().create();
    await expect(client.forwardBackwardCustom(DATA, lossFn)).rejects.toThrow(words);
  });

  it('takes targets and weights only', async () => {
    const client = await setUp().create();
    const more = [{ ...DATA[0]!, lossFnInputs: { ...DATA[0]!.lossFnInputs, advantages: [1, 1, 1, 1, 1] } }];
    const lossFn = () => ({ loss: 0, gradLogprobs: [] });
    await expect(client.forwardBackwardCustom(more, lossFn)).rejects.toThrow(
      'takes targetTokens and weights',
    );
    await expect(
      client.forwardBackwardCustom(DATA, lossFn, { lossTypeInput: 'logits' as 'logprobs' }),
    ).rejects.toThrow('must be one of logprobs');
  });
});

describe('states', () => {
  it('go on exactly with the optimizer, and differently without', async () => {
    const { create, service } = setUp();
    const client = await create();
    await client.train(DATA, 'cross_entropy', { learningRate: 0.1 });
    await client.forwardBackward(DATA, 'cross_entropy');
    const { path } = await client.saveState('between', {
      loopState: { step: 1, nextBatch: 5 },
      metadata: { note: 'x' },
    });
    const finish = async (c: TrainingClient) => {
      await c.optimStep({ learningRate: 0.1 });
      return logprobs(c);
    };
    const whole = await finish(client);
    const restored = await service.loadTrainingClient(path);
    expect(restored.loopState).toEqual({ step: 1, nextBatch: 5 });
    expect(restored.metadata).toEqual({ note: 'x' });
    expect(restored.step).toBe(1);
    expect(await finish(restored)).toEqual(whole);
    const warm = await service.createTrainingClientFromState(path);
    expect(warm.loopState).toBeNull();
    expect(await finish(warm)).not.toEqual(whole);
  });

  it('load into clients that were used, at their turn', async () => {
    const { create } = setUp();
    const client = await create();
    const { path } = await client.saveState('start');
    const start = await logprobs(client);
    await client.train(DATA, 'cross_entropy', { learningRate: 0.1 });
    const loading = client.loadState(path);
    const after = client.forward(DATA, 'cross_entropy');
    await loading;
    expect((await after).lossFnOutputs.flatMap((o) => Array.from(o['logprobs']?.data ?? [], Number))).toEqual(
      start,
    );
    // A bare name is one of this run.
    await client.loadStateWithOptimizer('start');
    expect(client.step).toBe(0);
  });

  it('refuse what does not fit, with nothing changed and nothing left behind', async () => {
    const { create, service, backend } = setUp();
    const client = await create();
    await client.saveState('a');
    await expect(client.saveState('a')).rejects.toBeInstanceOf(CheckpointExistsError);
    await client.saveState('a', { overwrite: true });
    const sampler = await client.saveWeightsForSampler('s');
    const before = await logprobs(client);
    await expect(client.loadStateWithOptimizer(sampler.path)).rejects.toBeInstanceOf(
      OptimizerStateMissingError,
    );
    await expect(client.loadState('nothing')).rejects.toBeInstanceOf(CheckpointNotFoundError);
    expect(await logprobs(client)).toEqual(before);
    const models = (await service.getTelemetry())['models'];
    await expect(service.createTrainingClientFromStateWithOptimizer(sampler.path)).rejects.toBeInstanceOf(
      OptimizerStateMissingError,
    );
    await expect(
      service.createTrainingClientFromState(`lorikeet://${client.runId}/weights/a`, { baseModel: 'other' }),
    ).rejects.toBeInstanceOf(BaseModelMismatchError);
    expect((await service.getTelemetry())['models']).toBe(models);
    expect(backend.log.at(-1)).toContain('unload');
  });

  it('prove that they resume', async () => {
    const { create, backend } = setUp();
    const client = await create();
    await client.train(DATA, 'cross_entropy', { learningRate: 0.1 });
    const proof = await client.verifyResume({ data: DATA, steps: 2, adamParams: { learningRate: 0.1 } });
    expect(proof).toMatchObject({ equal: true, differences: [] });
    expect([...backend.store.checkpoints.keys()]).toEqual([]);
    // A backend that loses the moments on the way is found out.
    backend.before = (what) => {
      if (what === 'load') for (const { state } of backend.store.checkpoints.values()) state.m.fill(0);
    };
    const broken = await client.verifyResume({ data: DATA, steps: 2, adamParams: { learningRate: 0.1 } });
    expect(broken.equal).toBe(false);
    expect(broken.differences[0]?.what).toMatch(/^step 4|^step 3/);
  });

  it('carry what helpers add to the loop state', async () => {
    const { create, service } = setUp();
    const client = await create();
    let iteration = 3;
    const end = client.contributeLoopState('rl', () => ({ iteration }));
    const saving = client.saveState('with');
    iteration = 4;
    const { path } = await saving;
    end();
    expect((await service.loadTrainingClient(path)).loopState).toEqual({
      step: 0,
      extra: { rl: { iteration: 3 } },
    });
    expect(await client.listCheckpoints()).toEqual(['with']);
    expect(client.resolveCheckpointPath('with', { sourceJobId: client.runId })).toBe(path);
  });
});
