/**
 * Terms that are added to a loss, each with its gradient's norm: L1, L2, elastic net, entropy and KL. They take
 * log-probabilities of the trained tokens and give a scalar.
 */
import { add, exp, mul, neg, sub, sum, abs, square } from './operations.ts';
import { backward, type DiffArray, type DiffInput } from './tape.ts';

export const l1 = (a: DiffInput, strength = 1): DiffArray => mul(sum(abs(a)), strength);
export const l2 = (a: DiffInput, strength = 1): DiffArray => mul(sum(square(a)), strength);
/** strength·(ratio·Σ|a| + (1 − ratio)·Σa²). */
export const elastic = (a: DiffInput, strength = 1, ratio = 0.5): DiffArray =>
  add(l1(a, strength * ratio), l2(a, strength * (1 - ratio)));
/** −Σ e^logp · logp, over the tokens given: a part of the entropy, as only these log-probabilities are known. */
export const entropy = (logprobs: DiffInput, strength = 1): DiffArray =>
  mul(neg(sum(mul(exp(logprobs), logprobs))), strength);
/** Σ (e^d − d − 1) with d = reference − logp: never negative, 0 where both agree. */
export function kl(logprobs: DiffInput, reference: DiffInput, strength = 1): DiffArray {
  const d = sub(reference, logprobs);
  return mul(sum(sub(sub(exp(d), d), 1)), strength);
}

/** The L2 norm of the gradient of a term by all leaves together. */
export function gradientNorm(term: DiffArray, by: readonly Float32Array[]): number {
  return Math.sqrt(backward(term, by).reduce((s, gradient) => gradient.reduce((t, g) => t + g * g, s), 0));
}
