/** Figures of a batch, computed from its log-probabilities: the same on every backend, whatever its own metrics mean. Pure. */
import type { Datum, ForwardBackwardOutput, LossInput } from '../api/types.ts';

/** The numbers of a loss input that is one value for each position. */
export function numbersOf(input: LossInput | undefined): number[] {
  if (input === undefined) return [];
  const values: ArrayLike<unknown> = 'data' in input ? input.data : input;
  return Array.from(values, Number);
}

/** Positions of the input. */
export const lengthOf = (datum: Datum): number => numbersOf(datum.lossFnInputs['targetTokens']).length;

/** Input positions of a batch. */
export const tokensOf = (data: readonly Datum[]): number => data.reduce((n, datum) => n + lengthOf(datum), 0);

/** The log-probabilities of one datum's targets; NaN where the backend gave none. */
export function logprobsOf(output: ForwardBackwardOutput, index: number, length: number): number[] {
  const given = output.lossFnOutputs[index]?.['logprobs']?.data ?? [];
  return Array.from({ length }, (_, i) => Number(given[i] ?? NaN));
}

export interface Nll {
  /** Σ w·(−logp) */
  sum: number;
  /** Σ w */
  weight: number;
}

/** The weighted negative log-likelihood of a batch. Targets of weight 0 do not count, whatever stands there. */
export function weightedNll(data: readonly Datum[], output: ForwardBackwardOutput): Nll {
  const total: Nll = { sum: 0, weight: 0 };
  data.forEach((datum, i) => {
    const length = lengthOf(datum);
    const weights = numbersOf(datum.lossFnInputs['weights']);
    logprobsOf(output, i, length).forEach((logp, j) => {
      const weight = datum.lossFnInputs['weights'] === undefined ? 1 : (weights[j] ?? NaN);
      if (weight === 0) return;
      total.sum -= weight * logp;
      total.weight += weight;
    });
  });
  return total;
}

/** Σ w·(−logp) / Σ w: what is shown as the loss. */
export const meanNll = ({ sum, weight }: Nll): number => sum / weight;
