/** The checked parameters of optimizer steps, LoRA settings, sampling and saving. */
import { BadRequestError } from './errors.ts';
import { OptimizerMismatchError } from './own-errors.ts';
import type { AdamParams, LoraConfig, SamplingParams } from './types.ts';

export const DEFAULT_ADAM: Readonly<Required<AdamParams>> = {
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-12,
  weightDecay: 0,
  gradClipNorm: 0,
};

const ADAM_RANGES: readonly [keyof AdamParams, (value: number) => boolean, string][] = [
  ['learningRate', (v) => v >= 0, 'at least 0'],
  ['beta1', (v) => v >= 0 && v < 1, 'from 0 to below 1'],
  ['beta2', (v) => v >= 0 && v < 1, 'from 0 to below 1'],
  ['eps', (v) => v > 0, 'above 0'],
  ['weightDecay', (v) => v >= 0, 'at least 0'],
  ['gradClipNorm', (v) => v >= 0, 'at least 0'],
];

/** Fills in the defaults. Throws BadRequestError for values out of range, OptimizerMismatchError for another optimizer. */
export function checkAdam(params: AdamParams & { type?: string } = {}): Required<AdamParams> {
  if (params.type !== undefined && params.type !== 'adamw') {
    throw new OptimizerMismatchError({
      message: `The optimizer is AdamW; ${JSON.stringify(params.type)} is not there.`,
      field: 'optimizer',
      expected: 'adamw',
      actual: params.type,
      fix: 'Use AdamW.',
    });
  }
  const all = { ...DEFAULT_ADAM };
  for (const [key, legal, words] of ADAM_RANGES) {
    const value = params[key];
    if (value === undefined) continue;
    if (typeof value !== 'number' || !Number.isFinite(value) || !legal(value)) {
      throw new BadRequestError({ message: `${key} is ${String(value)}; it must be ${words}.` });
    }
    all[key] = value;
  }
  return all;
}

export type FullLoraConfig = Required<Omit<LoraConfig, 'seed'>> & { seed: number | null };

const whole = (value: number, from: number, to: number): boolean =>
  Number.isInteger(value) && value >= from && value <= to;

/** Fills in rank 32 and alpha 32. Throws BadRequestError for values out of range and where nothing would be trained. */
export function checkLora(config: Partial<LoraConfig> = {}): FullLoraConfig {
  const { rank = 32, alpha = 32, seed, trainMlp = true, trainAttn = true, trainUnembed = true } = config;
  if (!whole(rank, 1, 4096)) {
    throw new BadRequestError({
      message: `The rank is ${String(rank)}; it must be a whole number from 1 to 4096.`,
    });
  }
  if (!Number.isFinite(alpha) || alpha <= 0) {
    throw new BadRequestError({ message: `alpha is ${String(alpha)}; it must be above 0.` });
  }
  if (seed !== undefined && !whole(seed, 0, Number.MAX_SAFE_INTEGER)) {
    throw new BadRequestError({ message: `The seed is ${String(seed)}; it must be a whole number from 0.` });
  }
  if (!trainMlp && !trainAttn && !trainUnembed) {
    throw new BadRequestError({
      message: 'trainMlp, trainAttn and trainUnembed are all false, so nothing would be trained.',
      fix: 'Set at least one of them.',
    });
  }
  return { rank, alpha, seed: seed ?? null, trainMlp, trainAttn, trainUnembed };
}

export interface FullSamplingParams {
  /** Null: as many as the context leaves. */
  maxTokens: number | null;
  seed: number | null;
  stop: { strings: string[] } | { tokens: number[] } | null;
  temperature: number;
  topK: number;
  topP: number;
}

function checkStop(stop: SamplingParams['stop']): FullSamplingParams['stop'] {
  if (stop === undefined) return null;
  if (typeof stop === 'string') return checkStop([stop]);
  if (stop.length === 0) return null;
  if (stop.every((s): s is string => typeof s === 'string' && s !== '')) return { strings: [...stop] };
  if (stop.every((s): s is number => typeof s === 'number' && whole(s, 0, 2 ** 31 - 1)))
    return { tokens: [...stop] };
  throw new BadRequestError({ message: 'stop must be texts or token ids, all of one kind and none empty.' });
}

/** Fills in temperature 1 and no filters. Throws BadRequestError for values out of range. */
export function checkSampling(params: SamplingParams = {}): FullSamplingParams {
  const { maxTokens, seed, temperature = 1, topK = -1, topP = 1 } = params;
  const bad = (name: string, value: unknown, words: string): never => {
    throw new BadRequestError({ message: `${name} is ${String(value)}; it must be ${words}.` });
  };
  if (maxTokens !== undefined && !whole(maxTokens, 1, 2 ** 31 - 1))
    bad('maxTokens', maxTokens, 'a whole number from 1');
  if (seed !== undefined && !whole(seed, 0, Number.MAX_SAFE_INTEGER))
    bad('seed', seed, 'a whole number from 0');
  if (!Number.isFinite(temperature) || temperature < 0) bad('temperature', temperature, 'at least 0');
  if (topK !== -1 && !whole(topK, 1, 2 ** 31 - 1)) bad('topK', topK, '-1 or a whole number from 1');
  if (!Number.isFinite(topP) || topP <= 0 || topP > 1) bad('topP', topP, 'above 0 and at most 1');
  return {
    maxTokens: maxTokens ?? null,
    seed: seed ?? null,
    stop: checkStop(params.stop),
    temperature,
    topK,
    topP,
  };
}

/** A hundred years: what ends later than dates go would be no time at all. */
const MAX_TTL = 100 * 366 * 86_400;

/** Throws BadRequestError for a time to live that is no whole number of seconds, or below what the backend takes. */
export function checkTtl(ttlSeconds: number | null | undefined, min: number): number | null {
  if (ttlSeconds === undefined || ttlSeconds === null) return null;
  if (whole(ttlSeconds, min, MAX_TTL)) return ttlSeconds;
  throw new BadRequestError({
    message: `ttlSeconds is ${String(ttlSeconds)}; this backend takes whole seconds from ${String(min)} to ${String(MAX_TTL)}.`,
  });
}

/** Metadata must be JSON that comes back as it went. Throws BadRequestError. */
export function checkMetadata<T>(value: T, what: string): T {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (key, inner: unknown) => {
      if (typeof inner === 'number' && !Number.isFinite(inner)) {
        throw new BadRequestError({
          message: `${what} has ${String(inner)} under ${JSON.stringify(key)}; JSON has no such number.`,
        });
      }
      if (typeof inner === 'bigint' || typeof inner === 'function' || typeof inner === 'symbol') {
        throw new BadRequestError({
          message: `${what} has a ${typeof inner} under ${JSON.stringify(key)}; it must be JSON.`,
        });
      }
      return inner;
    });
  } catch (error) {
    if (error instanceof BadRequestError) throw error;
    throw new BadRequestError({ message: `${what} is no JSON.`, cause: error });
  }
  return text === undefined ? value : (JSON.parse(text) as T);
}
