/** What tools/serve_sdk.py does, in TypeScript: the numbers that it must print, by the same names. */
import { expect } from 'vitest';
import * as ad from '../autodiff/index.ts';
import type { ServiceClient } from '../api/service-client.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { Datum, ForwardBackwardOutput, LossFnType } from '../api/types.ts';

export interface ProgramRequest {
  baseModel: string;
  rank: number;
  seed: number;
  data: readonly (readonly number[])[];
  prompt: readonly number[];
  /** Whether the Python side loads the tokenizer, and downloads the archive. */
  tokenizer: boolean;
  archive: boolean;
}

export const REQUEST: Omit<ProgramRequest, 'baseModel' | 'tokenizer' | 'archive'> = {
  rank: 8,
  seed: 7,
  data: [
    [1, 2, 3, 1, 2, 3],
    [4, 5, 6, 7],
    [7, 7, 1],
  ],
  prompt: [1, 2, 3],
};

const logprobsOf = ({ lossFnOutputs }: ForwardBackwardOutput): number[][] =>
  lossFnOutputs.map((o) => Array.from(o['logprobs']?.data ?? [], Number));

const datum = (row: readonly number[], inputs: Datum['lossFnInputs']): Datum => ({
  modelInput: { chunks: [{ type: 'encoded_text', tokens: row.slice(0, -1) }] },
  lossFnInputs: { targetTokens: row.slice(1), ...inputs },
});

/** The numbers of the whole program, but for those of the custom loss, which are compared within a tolerance. */
export async function programNumbers(
  service: ServiceClient,
  request: ProgramRequest,
): Promise<Record<string, unknown>> {
  const { baseModel, rank, seed, data } = request;
  const seen: Record<string, unknown> = {};
  const rows = data.map((row) => datum(row, { weights: row.slice(1).map(() => 1) }));
  const create = (): Promise<TrainingClient> =>
    Promise.resolve(service.createLoraTrainingClient(baseModel, { rank, seed }));
  const optim = (client: TrainingClient, adam: Parameters<TrainingClient['optimStep']>[0]) =>
    client.optimStep(adam, { emitGradNormMetrics: 'basic' });
  const step = async (client: TrainingClient, name: string): Promise<void> => {
    const passed = client.forwardBackward(rows, 'cross_entropy');
    const stepped = optim(client, { learningRate: 0.01 });
    seen[name] = [(await passed).metrics['loss:sum'], (await stepped).metrics];
    seen[`${name} after`] = logprobsOf(await client.forward(rows, 'cross_entropy'));
  };

  const client = await create();
  const q = logprobsOf(await client.forward(rows, 'cross_entropy'));
  seen['forward'] = q;
  const rl = data.map((row, i) =>
    datum(row, { logprobs: q[i] ?? [], advantages: row.slice(1).map((_, j) => j - 1) }),
  );
  const pass = (lossFn: LossFnType, config?: Record<string, number>) =>
    client.forwardBackward(lossFn === 'cross_entropy' ? rows : rl, lossFn, config);
  const calls = [
    pass('cross_entropy'),
    optim(client, { learningRate: 0.01 }),
    pass('importance_sampling'),
    pass('ppo', { clipLowThreshold: 0.9, clipHighThreshold: 1.1 }),
    optim(client, { learningRate: 0.005, weightDecay: 0.1, gradClipNorm: 0.5 }),
    pass('cispo'),
    pass('dro', { beta: 0.05 }),
  ];
  const results: unknown[] = [];
  for (const call of calls) {
    const result = await call;
    results.push(
      'lossFnOutputs' in result ? [result.metrics['loss:sum'], logprobsOf(result)] : result.metrics,
    );
  }
  seen['calls'] = results;

  const { path } = await client.saveState('half');
  await step(client, 'straight');
  await step(await service.createTrainingClientFromStateWithOptimizer(path), 'with optimizer');
  await step(await service.createTrainingClientFromState(path), 'weights alone');
  await client.loadStateWithOptimizer(path);
  await step(client, 'loaded with optimizer');
  await client.loadState(path);
  await step(client, 'loaded weights alone');

  await sampleNumbers(service, client, request, seen);
  await step(await create(), 'after refusals');
  return seen;
}

async function sampleNumbers(
  service: ServiceClient,
  client: TrainingClient,
  { baseModel, prompt: tokens }: ProgramRequest,
  seen: Record<string, unknown>,
): Promise<void> {
  const named = await client.saveWeightsForSampler('drawn');
  const sampler = await service.createSamplingClient({ modelPath: named.path });
  const samplers = {
    named: sampler,
    fresh: await client.saveWeightsAndGetSamplingClient(),
    base: await service.createSamplingClient({ baseModel }),
  };
  const prompt = { chunks: [{ type: 'encoded_text' as const, tokens }] };
  for (const [name, one] of Object.entries(samplers)) {
    const greedy = { maxTokens: 6, temperature: 0, seed: 1 };
    const warm = { maxTokens: 6, temperature: 0.9, seed: 5 };
    const answers = [
      await one.sample(prompt, { numSamples: 1, samplingParams: greedy }),
      await one.sample(prompt, { numSamples: 2, samplingParams: warm, includePromptLogprobs: true }),
    ];
    seen[`sample ${name}`] = answers.map(({ sequences }) =>
      sequences.map(({ stopReason, tokens: drawn, logprobs }) => [stopReason, drawn, logprobs]),
    );
    seen[`prompt ${name}`] = answers[1]?.promptLogprobs;
  }
  seen['computed'] = await sampler.computeLogprobs(prompt);
  const many: number[][] = [];
  for (let seed = 0; seed < 8; seed++) {
    const answer = await sampler.sample(prompt, { samplingParams: { maxTokens: 2, seed } });
    many.push(answer.sequences[0]?.tokens ?? []);
  }
  seen['many'] = many;
}

/** The custom loss of the Python side; its derivative comes from PyTorch there. */
export async function customNumbers(service: ServiceClient, request: ProgramRequest): Promise<number[][][]> {
  const { baseModel, rank, seed, data } = request;
  const rows = data.map((row) => datum(row, {}));
  const client = await service.createLoraTrainingClient(baseModel, { rank, seed });
  const loss = await client.forwardBackwardCustom(rows, (_, lists) => ({
    loss: ad.mean(ad.square(ad.concat(lists))),
  }));
  await client.optimStep({ learningRate: 0.005 });
  return [logprobsOf(loss), logprobsOf(await client.forward(rows, 'cross_entropy'))];
}

/** Tensors are float32 on the wire; losses and metrics are not. */
const rounded = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, inner: unknown) =>
    typeof inner === 'number' ? Math.fround(inner) : inner,
  );

/** Every number of the program is the same to the last bit of float32. */
export function expectSame(seen: Record<string, unknown>, numbers: Record<string, unknown>): void {
  const names = Object.keys(numbers);
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) expect(rounded(seen[name]), name).toEqual(rounded(numbers[name]));
}

/** Within a few units of float32's last place: two libraries derived the loss. */
export function expectClose(seen: unknown, numbers: unknown): void {
  const flat = (value: unknown): number[] =>
    typeof value === 'object' && value !== null ? Object.values(value).flatMap(flat) : [Number(value)];
  const [a, b] = [flat(seen), flat(numbers)];
  expect(a).toHaveLength(b.length);
  a.forEach((value, i) => {
    expect(Math.abs(value - (b[i] ?? NaN))).toBeLessThan(2e-6 * Math.max(1, Math.abs(value)));
  });
}

/** Lists, flags, time to live and deletion did what they say. */
export function expectManaged(seen: Record<string, unknown>): void {
  expect(seen).toMatchObject({ runs: true, 'user list': true, kept: [true, true], left: false });
  expect(seen['listed']).toEqual(expect.arrayContaining(['sampler_weights/drawn', 'weights/half']));
  expect(seen['state path']).toMatch(/^tinker:\/\/[A-Za-z0-9_-]+\/weights\/half$/);
}

/** Refusals reach Python as its own errors, with what is wrong in words; none of them is waited for or tried again. */
export function expectRefusals(seen: Record<string, unknown>): void {
  expect(seen['refusals']).toEqual({
    token: [expect.stringMatching(/^(RequestFailed|BadRequest)Error$/), expect.stringContaining('2000000')],
    'step after it': ['RequestFailedError', expect.stringContaining('gradient is incomplete')],
    'unknown path': ['RequestFailedError', expect.stringContaining('nobody')],
    'sampler path': ['NotFoundError', expect.stringContaining('nobody')],
    'bad name': ['BadRequestError', expect.stringContaining('Use a name such as')],
    taken: ['RequestFailedError', expect.stringContaining('another name')],
  });
}
