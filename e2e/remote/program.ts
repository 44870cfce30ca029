/**
 * One training program on the public clients. It knows neither engine nor server: the same code runs locally and against
 * a real server, and what it reports is compared.
 */
import type { ServiceClient } from '../../src/api/service-client.ts';
import type { TrainingClient } from '../../src/api/training-client.ts';
import type { AdamParams, Datum, ForwardBackwardOutput } from '../../src/api/types.ts';

export interface ProgramOptions {
  baseModel: string;
  rank: number;
  seed: number;
  /** Token sequences; the second half of each is trained on. */
  rows: readonly (readonly number[])[];
  steps: number;
  learningRate: number;
  /** Of Adam; 1e-12 unless said otherwise. */
  eps?: number;
  /** So that runs of one server do not meet. */
  tag: string;
  /** The client to begin with, instead of a fresh one. */
  begin?: (service: ServiceClient) => Promise<TrainingClient>;
}

export interface ProgramReport {
  runId: string;
  /** Mean negative log-likelihood of the trained tokens, before each step. */
  losses: number[];
  statePath: string;
  samplerPath: string;
  sampled: number[];
  /** After the steps; and after two more on a client with everything, and on one with the weights alone. */
  after: number[];
  withOptimizer: number[];
  weightsOnly: number[];
  uninterrupted: number[];
}

/** Two rows of the tiny model's vocabulary. */
export const ROWS = [
  [338, 280, 262, 390, 284, 386, 33, 308, 390, 284, 386, 280, 482, 299, 16],
  [397, 344, 499, 335, 503, 299, 71, 290, 414, 462, 262, 492, 280, 288, 433, 16],
];

/** Rows as datums: the targets are the tokens shifted by one. */
export const toData = (rows: ProgramOptions['rows']): Datum[] =>
  rows.map((tokens) => {
    const inputs = tokens.slice(0, -1);
    const from = Math.floor(inputs.length / 2);
    return {
      modelInput: { chunks: [{ type: 'encoded_text', tokens: inputs }] },
      lossFnInputs: { targetTokens: tokens.slice(1), weights: inputs.map((_, i) => (i < from ? 0 : 1)) },
    };
  });

const tokensTrained = (data: readonly Datum[]): number =>
  data.reduce(
    (sum, d) => sum + Array.from(d.lossFnInputs['weights'] as number[]).filter((w) => w > 0).length,
    0,
  );

/** Computed here, since servers differ in what they sum and what they average. */
function meanLoss(data: readonly Datum[], { lossFnOutputs }: ForwardBackwardOutput): number {
  let sum = 0;
  data.forEach(({ lossFnInputs }, i) => {
    const found = lossFnOutputs[i]?.['logprobs']?.data ?? [];
    Array.from(lossFnInputs['weights'] as number[]).forEach((weight, at) => {
      sum -= weight * Number(found[at]);
    });
  });
  return sum / tokensTrained(data);
}

export async function logprobs(client: TrainingClient, data: readonly Datum[]): Promise<number[]> {
  const { lossFnOutputs } = await client.forward(data, 'cross_entropy');
  return lossFnOutputs.flatMap((output) => Array.from(output['logprobs']?.data ?? [], Number));
}

async function train(
  client: TrainingClient,
  data: readonly Datum[],
  steps: number,
  adam: AdamParams,
): Promise<number[]> {
  const losses: number[] = [];
  // One step ahead: the next is submitted before the present one is awaited.
  const submit = () => [client.forwardBackward(data, 'cross_entropy'), client.optimStep(adam)] as const;
  let [forward, stepped] = submit();
  for (let i = 0; i < steps; i++) {
    const [now, applied] = [forward, stepped];
    if (i + 1 < steps) [forward, stepped] = submit();
    losses.push(meanLoss(data, await now));
    await applied;
  }
  return losses;
}

export async function runProgram(service: ServiceClient, o: ProgramOptions): Promise<ProgramReport> {
  const data = toData(o.rows);
  const adam = { learningRate: o.learningRate, ...(o.eps === undefined ? {} : { eps: o.eps }) };
  const begin = o.begin ?? ((s) => s.createLoraTrainingClient(o.baseModel, { rank: o.rank, seed: o.seed }));
  const client = await begin(service);
  try {
    const losses = await train(client, data, o.steps, adam);
    const state = await client.saveState(`${o.tag}-state`, {
      metadata: { rows: o.rows.length },
      loopState: { step: o.steps },
    });
    const sampler = await client.saveWeightsForSampler(`${o.tag}-sampler`);
    const sampling = await client.createSamplingClient(sampler.path);
    const prompt = o.rows[0]?.slice(0, 5) ?? [];
    const { sequences } = await sampling.sample(prompt, {
      samplingParams: { maxTokens: 8, seed: 7, temperature: 0 },
    });
    const after = await logprobs(client, data);
    await train(client, data, 2, adam);
    const uninterrupted = await logprobs(client, data);
    const resumed = await service.createTrainingClientFromStateWithOptimizer(state.path);
    await train(resumed, data, 2, adam);
    const withOptimizer = await logprobs(resumed, data);
    await resumed.dispose();
    const warm = await service.createTrainingClientFromState(state.path);
    await train(warm, data, 2, adam);
    const weightsOnly = await logprobs(warm, data);
    await warm.dispose();
    return {
      runId: client.runId,
      losses,
      statePath: state.path,
      samplerPath: sampler.path,
      sampled: sequences[0]?.tokens ?? [],
      after,
      uninterrupted,
      withOptimizer,
      weightsOnly,
    };
  } finally {
    await client.dispose();
  }
}
