/** Splits rows into those that are trained and those that are only evaluated. */
import { StudioError } from '../errors.ts';
import { philox4x32 } from '../philox.ts';

export interface Split<T> {
  train: T[];
  evaluation: T[];
}

/** Sets this use of the seed apart from the others: shuffling, initialisation, dropout. */
const PURPOSE = 0x53504c54;

/**
 * Draws `fraction` of the rows for evaluation, at least one where the fraction is above 0. Both parts keep the order of
 * the rows; the same seed and number of rows give the same split.
 */
export function splitRows<T>(rows: readonly T[], fraction: number, seed: number): Split<T> {
  if (!(fraction >= 0 && fraction <= 0.5)) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The evaluation split is ${String(fraction)}.`,
      fix: 'Choose a share of the rows from 0 to 0.5.',
    });
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The seed is ${String(seed)}.`,
      fix: 'Choose a whole number from 0.',
    });
  }
  if (fraction === 0) return { train: [...rows], evaluation: [] };
  if (rows.length < 2) {
    throw new StudioError({
      code: 'DATA_INVALID',
      message: `The data has ${String(rows.length)} row, which cannot be split into training and evaluation.`,
      fix: 'Use data with at least 2 rows, or no evaluation split.',
    });
  }
  const key: [number, number] = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  const draws = rows.map((_, index) => {
    const [high, low] = philox4x32([index, 0, 0, PURPOSE], key);
    return { index, draw: high * 2 ** 21 + (low >>> 11) };
  });
  // The rows with the smallest draws; of equal draws, which are next to impossible, the earlier row.
  draws.sort((a, b) => a.draw - b.draw || a.index - b.index);
  const count = Math.max(1, Math.round(rows.length * fraction));
  const chosen = new Set(draws.slice(0, count).map(({ index }) => index));
  return {
    train: rows.filter((_, index) => !chosen.has(index)),
    evaluation: rows.filter((_, index) => chosen.has(index)),
  };
}
