/**
 * CPU twin of shaders/loss-coefficient.wgsl: the losses and their derivatives as they are written down, in float64 and
 * over whole arrays. r = exp(logp - q); sums over tokens.
 */
import type { LossName } from '../train/losses.ts';

export interface LossArrays {
  logprob: ArrayLike<number>;
  /** Weights of cross-entropy, advantages of the others. */
  signal: ArrayLike<number>;
  /** Log-probabilities under the policy that sampled. */
  q: ArrayLike<number>;
  /** Clip bounds of each token. */
  low: ArrayLike<number>;
  high: ArrayLike<number>;
  beta: number;
}

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** The loss of one token. */
function tokenLoss(name: LossName, p: number, t: Omit<LossArrays, 'logprob'>, i: number): number {
  const A = t.signal[i] ?? NaN;
  const q = t.q[i] ?? NaN;
  const r = Math.exp(p - q);
  const bounded = clamp(r, t.low[i] ?? NaN, t.high[i] ?? NaN);
  switch (name) {
    case 'cross_entropy':
      return -A * p;
    case 'importance_sampling':
      return -r * A;
    case 'ppo':
      return -Math.min(r * A, bounded * A);
    case 'cispo':
      return -bounded * p * A;
    case 'dro':
      return -(p * A - 0.5 * t.beta * (p - q) ** 2);
    default:
      return name satisfies never;
  }
}

/** The sum over all tokens. */
export function lossReference(name: LossName, arrays: LossArrays): number {
  let sum = 0;
  for (let i = 0; i < arrays.logprob.length; i++) sum += tokenLoss(name, arrays.logprob[i] ?? NaN, arrays, i);
  return sum;
}

/** dLoss/dlogprob of each token; the clipped ratio of cispo counts as a constant. */
export function lossSlopeReference(name: LossName, t: LossArrays): Float64Array {
  return Float64Array.from({ length: t.logprob.length }, (_, i) => {
    const p = t.logprob[i] ?? NaN;
    const A = t.signal[i] ?? NaN;
    const q = t.q[i] ?? NaN;
    const r = Math.exp(p - q);
    const bounded = clamp(r, t.low[i] ?? NaN, t.high[i] ?? NaN);
    switch (name) {
      case 'cross_entropy':
        return -A;
      case 'importance_sampling':
        return -r * A;
      case 'ppo':
        return r * A <= bounded * A ? -r * A : 0;
      case 'cispo':
        return -bounded * A;
      case 'dro':
        return -(A - t.beta * (p - q));
      default:
        return name satisfies never;
    }
  });
}
