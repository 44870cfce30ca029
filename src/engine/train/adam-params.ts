/** The ranges of an optimizer step's settings. */
import { StudioError } from '../../errors.ts';
import type { AdamParams } from './types.ts';

const RANGES: readonly [keyof AdamParams, string, (value: number) => boolean, string][] = [
  ['learningRate', 'learning rate', (v) => v >= 0, 'a number from 0'],
  ['beta1', 'beta1', (v) => v >= 0 && v < 1, 'a number from 0 to below 1'],
  ['beta2', 'beta2', (v) => v >= 0 && v < 1, 'a number from 0 to below 1'],
  ['eps', 'eps', (v) => v > 0, 'a number above 0'],
  ['weightDecay', 'weight decay', (v) => v >= 0, 'a number from 0'],
  ['gradClip', 'gradient clipping', (v) => v >= 0, 'a number from 0 (0 = off)'],
];

/** Throws OPTION_INVALID, naming the setting and its value, for one that is not finite or out of its range. */
export function checkAdamParams(params: AdamParams): void {
  for (const [key, name, fits, form] of RANGES) {
    const value = params[key];
    if (!Number.isFinite(value) || !fits(value)) refuseOption(name, value, form);
  }
}

/** Throws OPTION_INVALID. */
export function refuseOption(name: string, value: number, form: string): never {
  throw new StudioError({ code: 'OPTION_INVALID', message: `The ${name} is ${value}.`, fix: `Use ${form}.` });
}
