/**
 * The built-in losses as functions of one token's log-probability. Losses are sums over tokens, never means; what a token
 * adds to the sum is worked out here, its derivative for the gradient on the GPU (shaders/loss-coefficient.wgsl).
 */
import { StudioError } from '../../errors.ts';

/** In the order of the constants in shaders/loss-coefficient.wgsl. */
export const LOSS_NAMES = ['cross_entropy', 'importance_sampling', 'ppo', 'cispo', 'dro'] as const;
export type LossName = (typeof LOSS_NAMES)[number];

/** A loss with its settings. Clip bounds are ratios, such as 0.8 and 1.2; each token may have its own instead. */
export type Loss =
  | { name: 'cross_entropy' }
  | { name: 'importance_sampling' }
  | { name: 'ppo' | 'cispo'; clipLowThreshold: number; clipHighThreshold: number }
  | { name: 'dro'; beta: number };

export const DEFAULT_CLIP = { clipLowThreshold: 0.8, clipHighThreshold: 1.2 } as const;

/** What steers a token's loss, as the GPU gets it: weight or advantage, q, and the clip bounds or beta. */
export type LossRow = readonly [signal: number, q: number, low: number, high: number];

export interface LossTerm {
  value: number;
  /** dLoss/dlogprob. */
  slope: number;
}

/** The ratio p/q in float32, so that what overflows on the GPU is infinite here too. */
function ratio(logprob: number, q: number): number {
  return Math.fround(Math.exp(logprob - q));
}

/** What one token adds to a loss. A signal of 0 takes it out of all losses but dro, whatever its log-probabilities. */
export function lossTerm(name: LossName, logprob: number, [signal, q, low, high]: LossRow): LossTerm {
  if (signal === 0 && name !== 'dro') return { value: 0, slope: 0 };
  switch (name) {
    case 'cross_entropy':
      return { value: -signal * logprob, slope: -signal };
    case 'importance_sampling': {
      const value = -ratio(logprob, q) * signal;
      return { value, slope: value };
    }
    case 'ppo': {
      const r = ratio(logprob, q);
      const clipped = signal > 0 ? r > high : r < low;
      if (clipped) return { value: -Math.min(Math.max(r, low), high) * signal, slope: 0 };
      return { value: -r * signal, slope: -r * signal };
    }
    case 'cispo': {
      const slope = -Math.min(Math.max(ratio(logprob, q), low), high) * signal;
      return { value: slope * logprob, slope };
    }
    case 'dro': {
      const difference = logprob - q;
      return {
        value: -(logprob * signal - 0.5 * low * difference * difference),
        slope: -(signal - low * difference),
      };
    }
    default:
      return name satisfies never;
  }
}

/** Throws OPTION_INVALID unless both bounds are finite and 0 <= low <= high. */
export function checkClip(low: number, high: number): void {
  if (Number.isFinite(low) && Number.isFinite(high) && low >= 0 && high >= low) return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `The ratio is clipped to ${low} … ${high}, which is no range.`,
    fix: 'Use ratios such as 0.8 and 1.2: the lower from 0, the upper not below it.',
  });
}

/** A loss by its name and settings, defaults filled in. Throws OPTION_INVALID for what there is not. */
export function lossFrom(name: string, settings: Readonly<Record<string, number>> = {}): Loss {
  const known = LOSS_NAMES.find((candidate) => candidate === name);
  if (known === undefined) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `There is no loss named ${JSON.stringify(name)}.`,
      fix: `Choose from: ${LOSS_NAMES.join(', ')}.`,
    });
  }
  if (known === 'ppo' || known === 'cispo') {
    refuseOthers(known, settings, Object.keys(DEFAULT_CLIP));
    const { clipLowThreshold, clipHighThreshold } = { ...DEFAULT_CLIP, ...settings };
    checkClip(clipLowThreshold, clipHighThreshold);
    return { name: known, clipLowThreshold, clipHighThreshold };
  }
  if (known === 'dro') {
    refuseOthers(known, settings, ['beta']);
    const { beta = NaN } = settings;
    if (!Number.isFinite(beta) || beta < 0) {
      throw new StudioError({
        code: 'OPTION_INVALID',
        message: `The loss dro has beta ${beta}.`,
        fix: 'Give beta as a number from 0, such as 0.05.',
      });
    }
    return { name: known, beta };
  }
  refuseOthers(known, settings, []);
  return { name: known };
}

function refuseOthers(name: LossName, settings: Readonly<Record<string, number>>, known: string[]): void {
  const other = Object.keys(settings).find((key) => !known.includes(key));
  if (other === undefined) return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `The loss ${name} has no setting ${JSON.stringify(other)}.`,
    fix: known.length === 0 ? 'Leave the settings out.' : `Its settings are ${known.join(' and ')}.`,
  });
}
