/** What each built-in loss takes: its tensors, and the keys of its config. Wire spelling is accepted too. */
import { BadRequestError } from './errors.ts';
import type { DenseTensor } from './tensor.ts';
import { LOSS_FNS, type LossFnType } from './types.ts';

export const LOSS_INPUT_KEYS = [
  'targetTokens',
  'weights',
  'logprobs',
  'advantages',
  'clipLowThreshold',
  'clipHighThreshold',
] as const;
export type LossInputKey = (typeof LOSS_INPUT_KEYS)[number];

export const INPUT_DTYPES: Readonly<Record<LossInputKey, DenseTensor['dtype']>> = {
  targetTokens: 'int64',
  weights: 'float32',
  logprobs: 'float32',
  advantages: 'float32',
  clipLowThreshold: 'float32',
  clipHighThreshold: 'float32',
};

const WIRE: Readonly<Record<string, string>> = {
  target_tokens: 'targetTokens',
  clip_low_threshold: 'clipLowThreshold',
  clip_high_threshold: 'clipHighThreshold',
};

/** The name of a tensor or config key on the wire. */
export const wireKey = (key: string): string => key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

interface LossRule {
  required: readonly LossInputKey[];
  optional: readonly LossInputKey[];
  /** Config keys with their defaults; null has none. */
  config: Readonly<Record<string, number | null>>;
}

const RL: readonly LossInputKey[] = ['targetTokens', 'logprobs', 'advantages'];
const CLIPS: readonly LossInputKey[] = ['clipLowThreshold', 'clipHighThreshold'];
const CLIP_CONFIG = { clipLowThreshold: 0.8, clipHighThreshold: 1.2 };

export const LOSS_RULES: Readonly<Record<LossFnType, LossRule>> = {
  cross_entropy: { required: ['targetTokens'], optional: ['weights'], config: {} },
  importance_sampling: { required: RL, optional: [], config: {} },
  ppo: { required: RL, optional: CLIPS, config: CLIP_CONFIG },
  cispo: { required: RL, optional: CLIPS, config: CLIP_CONFIG },
  dro: { required: RL, optional: [], config: { beta: null } },
};

export function checkLossFn(lossFn: unknown): asserts lossFn is LossFnType {
  if ((LOSS_FNS as readonly unknown[]).includes(lossFn)) return;
  throw new BadRequestError({
    message: `There is no loss ${JSON.stringify(lossFn)}.`,
    fix: `Use one of ${LOSS_FNS.join(', ')}, or forwardBackwardCustom.`,
  });
}

/** The key in camelCase, or null where the loss does not take it. */
export function lossInputKey(key: string, lossFn: LossFnType): LossInputKey | null {
  const camel = WIRE[key] ?? key;
  const rule = LOSS_RULES[lossFn];
  return [...rule.required, ...rule.optional].find((known) => known === camel) ?? null;
}

/** The config of a loss with defaults filled in, keys in camelCase. Throws BadRequestError for others. */
export function checkLossConfig(
  lossFn: LossFnType,
  config: Readonly<Record<string, number>> | null | undefined,
): Record<string, number> {
  const rule = LOSS_RULES[lossFn].config;
  const checked: Record<string, number> = {};
  for (const [key, value] of Object.entries(config ?? {})) {
    const camel = WIRE[key] ?? key;
    if (!Object.hasOwn(rule, camel)) {
      const known = Object.keys(rule);
      throw new BadRequestError({
        message: `The loss ${lossFn} has no setting ${JSON.stringify(key)}.`,
        fix: known.length === 0 ? 'Leave lossFnConfig out.' : `Its settings are ${known.join(', ')}.`,
      });
    }
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new BadRequestError({ message: `${key} is ${String(value)}; it must be a finite number.` });
    }
    checked[camel] = value;
  }
  for (const [key, value] of Object.entries(rule)) {
    if (Object.hasOwn(checked, key)) continue;
    if (value === null) {
      throw new BadRequestError({ message: `The loss ${lossFn} needs ${key} in lossFnConfig.` });
    }
    checked[key] = value;
  }
  const { clipLowThreshold: low, clipHighThreshold: high } = checked;
  if (low !== undefined && high !== undefined && !(low >= 0 && high >= low)) {
    throw new BadRequestError({
      message: `The ratio is clipped to ${String(low)} … ${String(high)}, which is no range.`,
      fix: 'clipLowThreshold and clipHighThreshold are ratios, such as 0.8 and 1.2.',
    });
  }
  return checked;
}
