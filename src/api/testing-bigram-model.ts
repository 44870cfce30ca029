/** A whole small model for tests: next-token logits are a table, trained in float64. logits: [vocab, vocab] */
import type { OptimStepRequest } from './backend.ts';
import { BadRequestError } from './errors.ts';
import type { TrainingCall } from './training-call.ts';
import type { ForwardBackwardOutput } from './types.ts';

export const VOCAB = 16;

export interface BigramState {
  table: Float64Array;
  m: Float64Array;
  v: Float64Array;
  t: number;
  gradient: Float64Array;
  /** What has a gradient since the last step. */
  tokens: number;
  sequences: number;
}

export function freshState(seed: number): BigramState {
  const size = VOCAB * VOCAB;
  const zeros = (): Float64Array => new Float64Array(size);
  const table = Float64Array.from({ length: size }, (_, i) => 0.1 * Math.sin(i * 12.9898 + seed));
  return { table, m: zeros(), v: zeros(), t: 0, gradient: zeros(), tokens: 0, sequences: 0 };
}

export const copyState = (s: BigramState): BigramState => ({
  table: s.table.slice(),
  m: s.m.slice(),
  v: s.v.slice(),
  t: s.t,
  gradient: s.gradient.slice(),
  tokens: s.tokens,
  sequences: s.sequences,
});

/** Log-probabilities of what follows a token: [vocab] */
export function rowLogprobs(table: Float64Array, token: number): Float64Array {
  const row = table.slice(token * VOCAB, (token + 1) * VOCAB);
  const most = Math.max(...row);
  const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0)) + most;
  return row.map((x) => x - total);
}

const clip = (r: number, low: number, high: number): number => Math.min(Math.max(r, low), high);

/** Value and derivative by logp of one token's loss. */
function tokenLoss(call: TrainingCall, logp: number, w: number, a: number, q: number): [number, number] {
  const { clipLowThreshold: low = 0.8, clipHighThreshold: high = 1.2, beta = 0 } = call.lossFnConfig;
  const r = Math.exp(logp - q);
  switch (call.lossFn) {
    case 'cross_entropy':
      return [-w * logp, -w];
    case 'importance_sampling':
      return [-r * a, -r * a];
    case 'ppo': {
      const clipped = clip(r, low, high) * a;
      return [-Math.min(r * a, clipped), r * a <= clipped ? -r * a : 0];
    }
    case 'cispo':
      return [-clip(r, low, high) * logp * a, -clip(r, low, high) * a];
    case 'dro':
      return [-(logp * a - 0.5 * beta * (logp - q) ** 2), -(a - beta * (logp - q))];
    default:
      return call.lossFn satisfies never;
  }
}

/** A pass over a batch; with `into`, the gradient of the sum is added there, with what has one. */
export function pass(
  state: BigramState,
  call: TrainingCall,
  into: Pick<BigramState, 'gradient' | 'tokens' | 'sequences'> | null,
): ForwardBackwardOutput {
  let loss = 0;
  const lossFnOutputs = call.data.map(({ chunks, inputs }) => {
    const tokens = chunks.flatMap((chunk) => (chunk.type === 'encoded_text' ? chunk.tokens : []));
    let slopes = 0;
    const logprobs = tokens.map((token, i) => {
      const target = inputs.targetTokens.data[i] ?? 0;
      if (token >= VOCAB || target >= VOCAB)
        throw new BadRequestError({ message: `There is no token ${String(Math.max(token, target))}.` });
      const row = rowLogprobs(state.table, token);
      const logp = row[target] ?? NaN;
      const [value, slope] = tokenLoss(
        call,
        logp,
        inputs.weights?.data[i] ?? 0,
        inputs.advantages?.data[i] ?? 0,
        inputs.logprobs?.data[i] ?? 0,
      );
      loss += value;
      if (slope !== 0) slopes += 1;
      if (into !== null) {
        const { gradient } = into;
        row.forEach((other, j) => {
          const at = token * VOCAB + j;
          gradient[at] = (gradient[at] ?? 0) + slope * ((j === target ? 1 : 0) - Math.exp(other));
        });
      }
      return logp;
    });
    if (into !== null) {
      into.tokens += slopes;
      into.sequences += slopes > 0 ? 1 : 0;
    }
    return {
      logprobs: { data: Float32Array.from(logprobs), dtype: 'float32' as const, shape: [logprobs.length] },
    };
  });
  return { lossFnOutputType: 'ArrayRecord', lossFnOutputs, metrics: { 'loss:sum': loss } };
}

/** AdamW on what was accumulated, normalised and clipped; it is cleared. Gives the gradient's norm before clipping. */
export function step(
  state: BigramState,
  { adam, gradAccumulationNormalization: by }: OptimStepRequest,
): number {
  const { learningRate, beta1, beta2, eps, weightDecay, gradClipNorm } = adam;
  const count = by === 'none' ? 1 : Math.max(1, by === 'num_sequences' ? state.sequences : state.tokens);
  state.t += 1;
  const norm = Math.hypot(...state.gradient) / count;
  const scale = (gradClipNorm > 0 ? Math.min(1, gradClipNorm / (norm + 1e-6)) : 1) / count;
  state.gradient.forEach((sum, i) => {
    const g = sum * scale;
    const m = beta1 * (state.m[i] ?? 0) + (1 - beta1) * g;
    const v = beta2 * (state.v[i] ?? 0) + (1 - beta2) * g * g;
    state.m[i] = m;
    state.v[i] = v;
    const decayed = (state.table[i] ?? 0) * (1 - learningRate * weightDecay);
    state.table[i] =
      decayed -
      (learningRate / (1 - beta1 ** state.t)) * (m / (Math.sqrt(v) / Math.sqrt(1 - beta2 ** state.t) + eps));
  });
  state.gradient.fill(0);
  state.tokens = 0;
  state.sequences = 0;
  return norm;
}

/** A uniform number from integers, the same for the same ones. */
export function uniform(...keys: readonly number[]): number {
  let h = 0x811c9dc5;
  for (const key of keys) {
    for (let shift = 0; shift < 32; shift += 8) h = Math.imul(h ^ ((key >>> shift) & 255), 0x01000193) >>> 0;
  }
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) >>> 0;
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39) >>> 0;
  return ((h ^ (h >>> 15)) >>> 0) / 2 ** 32;
}
