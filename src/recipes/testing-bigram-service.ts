/** A service over the tests' bigram backend, and rows that it can learn. Token ids are below 16. */
import { ServiceClient } from '../api/service-client.ts';
import { createBigramBackend } from '../api/testing-bigram-backend.ts';
import type { TrainingClient } from '../api/training-client.ts';
import type { Datum } from '../api/types.ts';
import { completionDatum } from './datum.ts';

export const bigramService = () => {
  const backend = createBigramBackend();
  const service = new ServiceClient({ backend, onWarning: () => undefined, env: {} });
  return { backend, service };
};

export const bigramClient = async () => {
  const made = bigramService();
  const client = await made.service.createLoraTrainingClient('bigram', { rank: 4, seed: 1 });
  return { ...made, client };
};

/** Rows in which each token is followed by the one three further on. */
export const countingRows = (count: number): Datum[] =>
  Array.from({ length: count }, (_, row) => {
    const tokens = Array.from({ length: 5 + (row % 3) }, (__, i) => (row + 3 * i) % 16);
    return completionDatum(tokens.slice(0, 2), tokens.slice(2));
  });

/** Every next-token log-probability of a client's model, to compare all bits of two. */
export async function bitsOf(client: TrainingClient): Promise<number[]> {
  const data = Array.from({ length: 16 }, (_, target): Datum => ({
    modelInput: { chunks: [{ type: 'encoded_text', tokens: Array.from({ length: 16 }, (__, t) => t) }] },
    lossFnInputs: { targetTokens: Array.from({ length: 16 }, () => target) },
  }));
  const { lossFnOutputs } = await client.forward(data, 'cross_entropy');
  return lossFnOutputs.flatMap((output) => Array.from(output['logprobs']?.data ?? [], Number));
}
