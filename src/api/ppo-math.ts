/** The arithmetic of reinforcement learning from rollouts: advantages, KL, datums, and what is reported. Pure. */
import { BadRequestError } from './errors.ts';
import type { Datum, ForwardBackwardOutput } from './types.ts';

export interface Rollout {
  promptIndex: number;
  /** Which sample of its prompt. */
  groupIndex: number;
  promptTokens: number[];
  tokens: number[];
  /** q: the sampler's log-probability of each token. */
  logprobs: number[];
  stopReason: 'stop' | 'length';
  /** Optimizer steps of the client when the sampler was made. */
  samplerStep: number;
  /** Null without a tokenizer. */
  text: string | null;
  /** The reference's log-probability of each token, where KL is asked for. */
  referenceLogprobs?: number[];
}

export type AdvantageKind = 'group_centered' | 'group_normalized' | 'batch_centered';

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

export interface Advantages {
  /** One for each rollout; null for those of a group that was dropped. */
  values: (number | null)[];
  droppedGroups: number;
}

/** A = r − mean of the group (or batch). Groups whose rewards are all equal teach nothing and can be dropped. */
export function computeAdvantages(
  rollouts: readonly Rollout[],
  rewards: readonly number[],
  kind: AdvantageKind,
  dropConstantGroups: boolean,
): Advantages {
  const groups = new Map<number, number[]>();
  rollouts.forEach(({ promptIndex }, i) => {
    groups.set(promptIndex, [...(groups.get(promptIndex) ?? []), i]);
  });
  const values: (number | null)[] = rollouts.map(() => null);
  const all = mean(rewards);
  let droppedGroups = 0;
  for (const members of groups.values()) {
    const own = members.map((i) => rewards[i] ?? NaN);
    if (dropConstantGroups && own.every((reward) => reward === own[0])) {
      droppedGroups += 1;
      continue;
    }
    const center = kind === 'batch_centered' ? all : mean(own);
    const spread = Math.sqrt(mean(own.map((reward) => (reward - center) ** 2)));
    // A group of equal rewards that is kept has no spread, and advantages of 0.
    const scale = kind === 'group_normalized' && spread > 0 ? spread : 1;
    members.forEach((i) => {
      values[i] = ((rewards[i] ?? NaN) - center) / scale;
    });
  }
  return { values, droppedGroups };
}

/** Per token: A + klCoef·(mean(d) − d) with d = q − q_ref, over the action tokens of one rollout. */
export function foldKl(rollout: Rollout, advantage: number, klCoef: number): number[] {
  const { logprobs, referenceLogprobs } = rollout;
  if (klCoef === 0) return logprobs.map(() => advantage);
  if (referenceLogprobs === undefined) {
    throw new BadRequestError({
      message: 'A rollout has no reference log-probabilities, and klCoef is above 0.',
      fix: 'Call computeRewards before ppoUpdate.',
    });
  }
  const d = logprobs.map((q, i) => q - (referenceLogprobs[i] ?? NaN));
  const center = mean(d);
  return d.map((value) => advantage + klCoef * (center - value));
}

/** Input is prompt and completion without the last token; prompt positions have advantage and q of 0. */
export function rolloutDatum(rollout: Rollout, advantages: readonly number[]): Datum {
  const { promptTokens, tokens, logprobs } = rollout;
  const whole = [...promptTokens, ...tokens];
  const before = promptTokens.length - 1;
  const zeros = Array.from({ length: before }, () => 0);
  return {
    modelInput: { chunks: [{ type: 'encoded_text', tokens: whole.slice(0, -1) }] },
    lossFnInputs: {
      targetTokens: whole.slice(1),
      logprobs: [...zeros, ...logprobs],
      advantages: [...zeros, ...advantages],
    },
  };
}

export interface PolicyDrift {
  tokens: number;
  /** Σ (q − logp) over action tokens. */
  klSum: number;
  /** Action tokens whose ratio lies outside the clip range. */
  clipped: number;
}

/** How far the policy is from the sampler, from a pass over rollouts. */
export function policyDrift(
  rollouts: readonly Rollout[],
  output: ForwardBackwardOutput,
  low: number,
  high: number,
): PolicyDrift {
  const drift: PolicyDrift = { tokens: 0, klSum: 0, clipped: 0 };
  rollouts.forEach(({ promptTokens, logprobs }, i) => {
    const now = output.lossFnOutputs[i]?.['logprobs']?.data ?? [];
    logprobs.forEach((q, j) => {
      const logp = Number(now[promptTokens.length - 1 + j] ?? NaN);
      const ratio = Math.exp(logp - q);
      drift.tokens += 1;
      drift.klSum += q - logp;
      if (ratio < low || ratio > high) drift.clipped += 1;
    });
  });
  return drift;
}

/** A seed from several whole numbers: the same for the same ones, below 2^31. */
export function deriveSeed(...parts: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    for (let shift = 0; shift < 32; shift += 8)
      hash = Math.imul(hash ^ ((part >>> shift) & 255), 0x01000193) >>> 0;
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) % 2 ** 31;
}

/** The order of a minibatch pass: a permutation drawn from the seed. */
export function shuffled(count: number, seed: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = deriveSeed(seed, i) % (i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}
