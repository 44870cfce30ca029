/** Values of options, from the words that a person types to checked numbers and names. */
import { StudioError } from '../errors.ts';

export function wrongOption(option: string, value: string, form: string): StudioError {
  return new StudioError({
    code: 'OPTION_INVALID',
    message: `${option} is ${JSON.stringify(value)}.`,
    fix: `Use ${form}.`,
  });
}

/** Reads whole numbers from `least` up. */
export function wholeNumber(option: string, least: number): (value: string) => number {
  return (value) => {
    const number = /^\d+$/.test(value) ? Number(value) : NaN;
    if (Number.isSafeInteger(number) && number >= least) return number;
    throw wrongOption(option, value, `a whole number from ${least}`);
  };
}

/** Reads numbers that `fits` takes; `form` says which those are. */
export function realNumber(
  option: string,
  fits: (value: number) => boolean,
  form: string,
): (value: string) => number {
  return (value) => {
    const number = value.trim() === '' ? NaN : Number(value);
    if (Number.isFinite(number) && fits(number)) return number;
    throw wrongOption(option, value, form);
  };
}

/** Reads one of some words. */
export function oneOf<T extends string>(option: string, words: readonly T[]): (value: string) => T {
  return (value) => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw wrongOption(option, value, words.join(' or '));
  };
}

/** Reads names that are separated by commas, or the word for all of them. */
export function targetList(option: string): (value: string) => 'all-linear' | string[] {
  return (value) => {
    if (value === 'all-linear') return value;
    const names = value.split(',').map((name) => name.trim());
    if (names.every((name) => /^[A-Za-z0-9_]+$/.test(name))) return names;
    throw wrongOption(option, value, 'all-linear, or names such as q_proj,v_proj');
  };
}

/** Collects the values of an option that may be given more than once. */
export function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value];
}

/** Reads the name of a run, as it can stand before the slash of `RUN/NAME` and in a command. */
export function runName(option: string): (value: string) => string {
  return (value) => {
    if (/^[A-Za-z0-9._-]{1,255}$/.test(value)) return value;
    throw wrongOption(option, value, '1 to 255 of the characters A-Z a-z 0-9 . _ -');
  };
}
