/** Argument checks of methods that return futures: what they throw becomes a rejected future. */
import { BadRequestError } from './errors.ts';
import { createFuture, type ApiFuture } from './future.ts';

export type Attempt<T> = { ok: true; value: T } | { ok: false; error: unknown };

export function attempt<T>(work: () => T): Attempt<T> {
  try {
    return { ok: true, value: work() };
  } catch (error) {
    return { ok: false, error };
  }
}

export const rejected = <T>(error: unknown): ApiFuture<T> =>
  createFuture<T>(() => Promise.reject(error as Error));

/** Throws BadRequestError for a value that is not among the legal ones. */
export function oneOf<T extends string>(name: string, value: T, legal: readonly T[]): T {
  if (legal.includes(value)) return value;
  throw new BadRequestError({
    message: `${name} is ${JSON.stringify(value)}; it must be one of ${legal.join(', ')}.`,
  });
}
