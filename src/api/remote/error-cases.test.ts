/** What may go wrong in a call, on an engine and over the protocol: typed, prompt, and the client goes on after it. */
import { afterEach, describe, expect, it } from 'vitest';
import { APIConnectionError, BadRequestError, LorikeetError, RequestFailedError } from '../errors.ts';
import {
  BaseModelMismatchError,
  CheckpointNotFoundError,
  InvalidCheckpointPathError,
} from '../own-errors.ts';
import { ServiceClient } from '../service-client.ts';
import { createBigramBackend } from '../testing-bigram-backend.ts';
import type { TrainingClient } from '../training-client.ts';
import type { Datum, LossFnType } from '../types.ts';
import { FAST } from './testing-replay.ts';
import { startTinkerServer } from './testing-tinker-server.ts';

const datum = (inputs: Datum['lossFnInputs'], tokens = [1, 2, 3]): Datum => ({
  modelInput: { chunks: [{ type: 'encoded_text', tokens }] },
  lossFnInputs: inputs,
});
const GOOD = [datum({ targetTokens: [2, 3, 1] })];
const RL = { targetTokens: [2, 3, 1], logprobs: [-1, -1, -1] };

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function setUp(kind: 'local' | 'remote') {
  const server = kind === 'remote' ? await startTinkerServer({ parallel_fwdbwd_chunks: true }) : null;
  const service = new ServiceClient({
    backend: server === null ? createBigramBackend() : { baseUrl: server.url, timing: FAST },
    env: {},
    onWarning: () => undefined,
  });
  open.push(async () => {
    await service.close();
    await server?.close();
  });
  return { service, server, client: await service.createLoraTrainingClient('bigram', { rank: 4 }) };
}

/** The rejection, which must come within ten seconds, on a busy machine too. */
async function failure(work: Promise<unknown>): Promise<LorikeetError> {
  const from = performance.now();
  const error = await work.then(
    () => null,
    (e: unknown) => e,
  );
  expect(performance.now() - from).toBeLessThan(10_000);
  expect(error).toBeInstanceOf(LorikeetError);
  return error as LorikeetError;
}

/** The client still trains, and no turn is missing. */
async function goesOn(client: TrainingClient, firstSeq: number): Promise<void> {
  const forward = client.forwardBackward(GOOD, 'cross_entropy');
  expect(forward.seqIds).toEqual([firstSeq]);
  expect((await forward).lossFnOutputs).toHaveLength(1);
  await client.optimStep({ learningRate: 0.1 });
}

/** A server is asked what it serves; a checkpoint knows its base. With the turns that it took to find out. */
const WRONG_BASE = {
  local: async (service: ServiceClient, client: TrainingClient) => {
    const { path } = await client.saveState('a');
    const opening = service.createTrainingClientFromState(path, { baseModel: 'other' });
    return { error: await failure(opening), turns: 1 };
  },
  remote: async (service: ServiceClient) => ({
    error: await failure(service.createLoraTrainingClient('another/model')),
    turns: 0,
  }),
};

describe.each(['local', 'remote'] as const)('a mistake in a call (%s)', (kind) => {
  it('with an unknown path or none at all', async () => {
    const { service, client } = await setUp(kind);
    const at = 'tinker://nowhere/weights/none';
    expect(await failure(client.loadState(at))).toBeInstanceOf(CheckpointNotFoundError);
    expect(await failure(service.createTrainingClientFromState(at))).toBeInstanceOf(CheckpointNotFoundError);
    for (const path of ['http://x/weights/a', 'tinker://a/b/c/d', 'tinker://a/other/x', 'lorikeet://']) {
      expect(await failure(client.loadState(path))).toBeInstanceOf(InvalidCheckpointPathError);
    }
    await goesOn(client, 2);
  });

  it('with the wrong base model', async () => {
    const { service, client } = await setUp(kind);
    const { error, turns } = await WRONG_BASE[kind](service, client);
    expect(error.name).toBe(kind === 'remote' ? BadRequestError.name : BaseModelMismatchError.name);
    await goesOn(client, 1 + turns);
  });

  it.each<[string, Datum[], LossFnType, Record<string, number>?]>([
    ['an input that the loss has not', [datum({ ...RL, advantages: [1, 1, 1], mask: [1, 1, 1] })], 'ppo'],
    ['an input that is missing', [datum(RL)], 'importance_sampling'],
    ['a loss that there is not', GOOD, 'hinge' as LossFnType],
    ['a setting that the loss has not', GOOD, 'cross_entropy', { beta: 1 }],
    ['targets of another length', [datum({ targetTokens: [1, 2] })], 'cross_entropy'],
    ['weights of another length', [datum({ targetTokens: [2, 3, 1], weights: [1] })], 'cross_entropy'],
    ['negative token ids', [datum({ targetTokens: [2, 3, 1] }, [1, -2, 3])], 'cross_entropy'],
    ['token ids that no model has', [datum({ targetTokens: [2, 3, 2 ** 31] })], 'cross_entropy'],
    ['advantages of NaN', [datum({ ...RL, advantages: [1, NaN, 1] })], 'ppo'],
    [
      'an infinite log-probability',
      [datum({ ...RL, logprobs: [0, -Infinity, 0], advantages: [1, 1, 1] })],
      'dro',
      { beta: 1 },
    ],
    ['nothing', [], 'cross_entropy'],
  ])('with %s, before a turn is taken', async (_, data, lossFn, config) => {
    const { client } = await setUp(kind);
    expect(await failure(client.forwardBackward(data, lossFn, config ?? null))).toBeInstanceOf(
      BadRequestError,
    );
    expect(await failure(client.forward(data, lossFn, config ?? null))).toBeInstanceOf(BadRequestError);
    await goesOn(client, 1);
  });

  it('with token ids beyond the vocabulary, which the engine alone knows', async () => {
    const { client } = await setUp(kind);
    const error = await failure(
      client.forwardBackward([datum({ targetTokens: [2, 3, 99] })], 'cross_entropy'),
    );
    expect(error).toBeInstanceOf(kind === 'local' ? BadRequestError : RequestFailedError);
    expect(error.message).toContain('There is no token 99');
    // Nothing of it is in the next step.
    await client.optimStep().catch(() => undefined);
    await goesOn(client, 3);
  });
});

describe('a server that ends in the middle of a call', () => {
  it('rejects the accepted call and all behind it, within the time that it is looked for', async () => {
    const { client, server } = await setUp('remote');
    const held = server?.hold();
    const calls = [
      client.forwardBackward(GOOD, 'cross_entropy'),
      client.optimStep(),
      client.saveState('a'),
      client.saveWeightsForSampler('b'),
      client.forward(GOOD, 'cross_entropy'),
    ];
    await calls[0]?.submitted;
    await server?.close();
    held?.();
    const from = performance.now();
    for (const outcome of await Promise.allSettled<unknown>(calls)) {
      expect(outcome.status === 'rejected' && outcome.reason).toBeInstanceOf(APIConnectionError);
    }
    // Half a second of trying, as the tests' timing has it, for what was accepted and for what was not.
    expect(performance.now() - from).toBeLessThan(20_000);
    expect(await failure(client.optimStep())).toBeInstanceOf(APIConnectionError);
  });
});
