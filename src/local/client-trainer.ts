/** The training loop's steps through a client: what the studio and the command line train with. */
import { TrainingClient } from '../api/training-client.ts';
import { ServiceClient } from '../api/service-client.ts';
import type { Datum, ForwardBackwardOutput } from '../api/types.ts';
import type { TokenizedExample } from '../data/types.ts';
import type { Trainer } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { OpenModel } from '../run/open-model.ts';
import type { Run } from '../run/start-run.ts';
import type { RunWriter } from '../storage/checkpoint-store.ts';
import type { OpenBase } from './bases.ts';
import type { LocalBackend } from './local-backend.ts';

/** Rows of one call while evaluating: between two calls the signal is looked at. */
const EVALUATED_AT_ONCE = 64;
const IGNORED_LABEL = -100;

/** A row as a datum: the targets are the labels shifted by one, each trained one of them with this weight. */
export function datumOfRow({ inputIds, labels }: TokenizedExample, weight: number): Datum {
  const length = Math.max(1, inputIds.length - 1);
  const targetTokens = new Int32Array(length);
  const weights = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const label = labels[i + 1] ?? IGNORED_LABEL;
    if (label === IGNORED_LABEL) continue;
    targetTokens[i] = label;
    weights[i] = weight;
  }
  return {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: Array.from(inputIds).slice(0, length) }] },
    lossFnInputs: { targetTokens, weights },
  };
}

/** Log-probabilities of the trained targets, in order. */
function trainedLogprobs(data: readonly Datum[], { lossFnOutputs }: ForwardBackwardOutput): number[][] {
  return data.map(({ lossFnInputs }, i) => {
    const weights = lossFnInputs['weights'] as Float32Array;
    const found = lossFnOutputs[i]?.['logprobs']?.data ?? [];
    const trained: number[] = [];
    weights.forEach((weight, at) => {
      if (weight !== 0) trained.push(Number(found[at]));
    });
    return trained;
  });
}

/** A step whose gradient is not finite was not applied: the loop says which rows and which rate it was. */
const notFinite = (error: unknown): number => {
  if (error instanceof StudioError && error.code === 'LOSS_NOT_FINITE') return NaN;
  throw error;
};

/** Trains through a client; gradient and step are submitted together. */
export function clientTrainer(client: TrainingClient, memoryBytes: () => number): Trainer {
  return {
    step: async ({ examples, weight, adam }) => {
      const data = examples.map((example) => datumOfRow(example, weight));
      const { gradClip, learningRate, beta1, beta2, eps, weightDecay } = adam;
      const pass = client.forwardBackward(data, 'cross_entropy', null, { outputs: 'trained' });
      const stepped = client.optimStep(
        { learningRate, beta1, beta2, eps, weightDecay, gradClipNorm: gradClip },
        { emitGradNormMetrics: 'basic' },
      );
      const norm = stepped.then(({ metrics }) => metrics?.['gradNorm'] ?? NaN, notFinite);
      const [output, gradNorm] = await Promise.all([pass, norm]);
      return { logprobs: trainedLogprobs(data, output), gradNorm };
    },
    evaluate: async (examples, signal) => {
      let sum = 0;
      let trainedTokens = 0;
      for (let from = 0; from < examples.length && signal?.aborted !== true; from += EVALUATED_AT_ONCE) {
        const rows = examples.slice(from, from + EVALUATED_AT_ONCE);
        const data = rows.map((example) => datumOfRow(example, 1));
        const output = await client.forward(data, 'cross_entropy', null, { outputs: 'trained' });
        for (const logprobs of trainedLogprobs(data, output)) {
          for (const logprob of logprobs) sum -= logprob;
          trainedTokens += logprobs.length;
        }
      }
      return { loss: sum / Math.max(1, trainedTokens), trainedTokens };
    },
    memoryBytes,
  };
}

export interface RunClient {
  client: TrainingClient;
  trainer: Trainer;
  /** Ends the client, and leaves the run's session and store as they are. */
  readonly close: () => Promise<void>;
}

/** A client of a run that was made ready by `startRun`. */
export async function clientOfRun(
  backend: LocalBackend,
  run: Run,
  parts: Omit<OpenBase, 'release' | 'name' | 'model'> & {
    model: OpenModel;
    writer: RunWriter | null;
    parentId: string | null;
  },
): Promise<RunClient> {
  const { base, gpu, model, writer, parentId } = parts;
  const service = new ServiceClient({ backend });
  const adopted = backend.adopt({
    base: { name: model.id, model, base, gpu },
    session: run.session,
    settings: run.settings,
    seed: run.training.seed,
    step: run.from.step,
    microBatchTokens: run.session.maxTokens,
    writer,
    parentId,
  });
  const client = new TrainingClient(await service.host, adopted, { step: run.from.step });
  return {
    client,
    trainer: clientTrainer(client, () => run.session.model.pool.bytes),
    close: () => service.close(),
  };
}
