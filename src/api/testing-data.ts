/** Data of the tests' small model, for the programs that run unchanged on several backends. */
import type { Datum } from './types.ts';

export const DATA: Datum[] = [
  [1, 2, 3, 1, 2, 3],
  [4, 5, 6, 7],
  [7, 7, 1],
].map((tokens) => ({
  modelInput: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
  lossFnInputs: { targetTokens: tokens.slice(1) },
}));

/** The same for reinforcement losses: with the log-probabilities they were drawn with, and advantages. */
export const rl = (logprobs: readonly number[][]): Datum[] =>
  DATA.map((datum, i) => ({
    ...datum,
    lossFnInputs: {
      ...datum.lossFnInputs,
      logprobs: logprobs[i] ?? [],
      advantages: (logprobs[i] ?? []).map((_, j) => j - 1),
    },
  }));
