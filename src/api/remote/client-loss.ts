/** `loss:sum` of a batch from its log-probabilities, for servers that give no metrics. The formulas of the built-in losses. */
import type { PreparedDatum, TrainingCall } from '../training-call.ts';

const clip = (r: number, low: number, high: number): number => Math.min(Math.max(r, low), high);

function datumLoss(datum: PreparedDatum, call: TrainingCall, logprobs: ArrayLike<number>): number {
  const { weights, logprobs: q, advantages, clipLowThreshold, clipHighThreshold } = datum.inputs;
  const { lossFnConfig } = call;
  let sum = 0;
  for (let i = 0; i < logprobs.length; i++) {
    const logp = logprobs[i] ?? NaN;
    const a = advantages?.data[i] ?? 0;
    const d = logp - (q?.data[i] ?? 0);
    const low = clipLowThreshold?.data[i] ?? lossFnConfig['clipLowThreshold'] ?? 0.8;
    const high = clipHighThreshold?.data[i] ?? lossFnConfig['clipHighThreshold'] ?? 1.2;
    switch (call.lossFn) {
      case 'cross_entropy': {
        const w = weights?.data[i] ?? 1;
        // A token without weight adds nothing, also where its log-probability is not finite.
        sum += w === 0 ? 0 : -w * logp;
        break;
      }
      case 'importance_sampling':
        sum -= a === 0 ? 0 : Math.exp(d) * a;
        break;
      case 'ppo':
        sum -= a === 0 ? 0 : Math.min(Math.exp(d) * a, clip(Math.exp(d), low, high) * a);
        break;
      case 'cispo':
        sum -= a === 0 ? 0 : clip(Math.exp(d), low, high) * logp * a;
        break;
      case 'dro':
        sum -= logp * a - 0.5 * (lossFnConfig['beta'] ?? 0) * d * d;
        break;
      default:
        call.lossFn satisfies never;
    }
  }
  return sum;
}

/** Summed over tokens and datums. logprobs: [datum][N] */
export function lossSum(call: TrainingCall, logprobs: readonly ArrayLike<number>[]): number {
  return call.data.reduce((sum, datum, i) => sum + datumLoss(datum, call, logprobs[i] ?? []), 0);
}
