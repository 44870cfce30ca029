/** Picks the next token from logits on the CPU in float64: the same seed gives the same tokens on every device. */
import { philox4x32 } from '../../philox.ts';
import type { GenerateOptions } from '../train/types.ts';

/** Sets this use of the seed apart from the others: initialisation, splitting, shuffling. */
const PURPOSE = 0x53414d50;

export interface Choice {
  id: number;
  /** Log-probability under the model (temperature 1, nothing cut off). */
  logprob: number;
}

/** log Σ exp(logits), in float64. */
export function logSumExp(logits: Float32Array): number {
  let top = -Infinity;
  for (const logit of logits) if (logit > top) top = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  return top + Math.log(sum);
}

/** Chooses token number `index` of an answer: greedy at temperature 0, else from the temperature's distribution cut to top-k and top-p. */
export function chooseToken(
  logits: Float32Array,
  options: Pick<GenerateOptions, 'temperature' | 'topK' | 'topP' | 'seed'>,
  index: number,
): Choice {
  const total = logSumExp(logits);
  const logprobOf = (id: number): Choice => ({ id, logprob: (logits[id] ?? -Infinity) - total });
  if (options.temperature === 0) return logprobOf(indexOfLargest(logits));
  const candidates = topCandidates(logits, options);
  const [first, second] = philox4x32(
    [index, 0, 0, PURPOSE],
    [options.seed % 2 ** 32, Math.floor(options.seed / 2 ** 32)],
  );
  const unit = ((first >>> 5) * 2 ** 26 + (second >>> 6)) / 2 ** 53;
  let left = unit * candidates.reduce((sum, { weight }) => sum + weight, 0);
  for (const { id, weight } of candidates) {
    left -= weight;
    if (left < 0) return logprobOf(id);
  }
  return logprobOf(candidates[0]?.id ?? 0);
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

/** Candidates by falling probability, cut to top-k and then to the smallest set that reaches top-p. */
function topCandidates(
  logits: Float32Array,
  { temperature, topK, topP }: Pick<GenerateOptions, 'temperature' | 'topK' | 'topP'>,
): { id: number; weight: number }[] {
  const order = Array.from(logits, (logit, id) => ({ id, logit })).sort(
    (a, b) => b.logit - a.logit || a.id - b.id,
  );
  const kept = topK > 0 ? order.slice(0, topK) : order;
  const top = kept[0]?.logit ?? 0;
  const weighted = kept.map(({ id, logit }) => ({ id, weight: Math.exp((logit - top) / temperature) }));
  if (topP >= 1) return weighted;
  const limit = topP * weighted.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  const count = weighted.findIndex(({ weight }) => (sum += weight) >= limit);
  return weighted.slice(0, count < 0 ? weighted.length : count + 1);
}
