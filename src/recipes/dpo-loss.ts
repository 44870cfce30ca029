/**
 * Direct preference optimisation as a custom loss: −log σ(β·((πc − πr) − (refc − refr))), the mean over pairs, where πc
 * and πr are the summed log-probabilities of the chosen and the rejected completion and refc, refr those of a frozen
 * reference. Written with src/autodiff, which gives the gradient.
 */
import type { CustomLoss } from '../api/custom-loss.ts';
import type { Datum } from '../api/types.ts';
import * as ad from '../autodiff/index.ts';
import { completionDatum } from './datum.ts';
import { numbersOf } from './loss-figures.ts';

/** Token ids of a prompt and two answers to it. */
export interface PreferencePair {
  prompt: readonly number[];
  chosen: readonly number[];
  rejected: readonly number[];
}

/** Summed log-probabilities of both completions. */
export interface PairLogprobs {
  chosen: number;
  rejected: number;
}

export interface DpoMetrics {
  loss: number;
  /** Share of pairs whose chosen answer is the likelier one, against the reference; a tie counts half. */
  accuracy: number;
  /** Mean of chosen minus rejected reward. */
  margin: number;
  /** Means of β·(π − ref). */
  chosenReward: number;
  rejectedReward: number;
}

/** Two datums for each pair: the chosen one, then the rejected one. */
export const pairDatums = (pairs: readonly PreferencePair[]): Datum[] =>
  pairs.flatMap(({ prompt, chosen, rejected }) => [
    completionDatum(prompt, chosen),
    completionDatum(prompt, rejected),
  ]);

const maskOf = (datum: Datum | undefined): number[] => numbersOf(datum?.lossFnInputs['weights']);

/** Σ logp over the completion. */
export function completionLogprob(datum: Datum, logprobs: readonly number[]): number {
  return maskOf(datum).reduce((sum, weight, i) => (weight === 0 ? sum : sum + (logprobs[i] ?? NaN)), 0);
}

const logSigmoid = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

/** Loss and figures of pairs from their log-probabilities. */
export function dpoMetrics(
  policy: readonly PairLogprobs[],
  reference: readonly PairLogprobs[],
  beta: number,
): DpoMetrics {
  const sums = { loss: 0, accuracy: 0, margin: 0, chosenReward: 0, rejectedReward: 0 };
  policy.forEach(({ chosen, rejected }, i) => {
    const chosenReward = beta * (chosen - (reference[i]?.chosen ?? NaN));
    const rejectedReward = beta * (rejected - (reference[i]?.rejected ?? NaN));
    const margin = chosenReward - rejectedReward;
    sums.loss -= logSigmoid(margin);
    sums.accuracy += margin > 0 ? 1 : margin === 0 ? 0.5 : 0;
    sums.margin += margin;
    sums.chosenReward += chosenReward;
    sums.rejectedReward += rejectedReward;
  });
  const count = policy.length;
  return {
    loss: sums.loss / count,
    accuracy: sums.accuracy / count,
    margin: sums.margin / count,
    chosenReward: sums.chosenReward / count,
    rejectedReward: sums.rejectedReward / count,
  };
}

/** The loss for `forwardBackwardCustom` over the datums of pairs; `reference` holds one entry for each pair. */
export function dpoLoss(reference: readonly PairLogprobs[], beta: number): CustomLoss {
  return (data, logprobs) => {
    const sums = data.map((datum, i) => ad.sum(ad.mul(logprobs[i] ?? [], maskOf(datum))));
    const terms = reference.map(({ chosen, rejected }, pair) => {
      const policyMargin = ad.sub(sums[2 * pair] ?? NaN, sums[2 * pair + 1] ?? NaN);
      return ad.neg(ad.logsigmoid(ad.mul(ad.sub(policyMargin, chosen - rejected), beta)));
    });
    const loss = ad.mean(ad.concat(terms));
    const policy = reference.map((_, pair) => ({
      chosen: sums[2 * pair]?.values[0] ?? NaN,
      rejected: sums[2 * pair + 1]?.values[0] ?? NaN,
    }));
    const { loss: __, ...metrics } = dpoMetrics(policy, reference, beta);
    return { loss, metrics };
  };
}
