import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { philox4x32 } from '../philox.ts';
import { splitRows } from './split.ts';
import { studioErrorOf } from './testing.ts';

const numbers = (length: number) => Array.from({ length }, (_, i) => i);

describe('philox4x32', () => {
  it('gives the known answers of the Random123 library', () => {
    const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, '0')).join(' ');
    expect(hex(philox4x32([0, 0, 0, 0], [0, 0]))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    const ones = 0xffffffff;
    expect(hex(philox4x32([ones, ones, ones, ones], [ones, ones]))).toBe(
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    );
    const pi = philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]);
    expect(hex(pi)).toBe('d16cfe09 94fdcceb 5001e420 24126ea1');
  });
});

describe('splitRows', () => {
  it('gives every row to one side, in order, with the share asked for', () => {
    const cases = fc.record({
      length: fc.integer({ min: 2, max: 300 }),
      share: fc.double({ min: 0.001, max: 0.5, noNaN: true }),
      seed: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(cases, ({ length, share, seed }) => {
        const { train, evaluation } = splitRows(numbers(length), share, seed);
        expect([...train, ...evaluation].sort((a, b) => a - b)).toEqual(numbers(length));
        expect(train).toEqual([...train].sort((a, b) => a - b));
        expect(evaluation).toEqual([...evaluation].sort((a, b) => a - b));
        expect(evaluation.length).toBe(Math.max(1, Math.round(length * share)));
        expect(train.length).toBeGreaterThan(0);
      }),
      { seed: 1 },
    );
  });

  it('depends on the seed alone', () => {
    const rows = numbers(200);
    expect(splitRows(rows, 0.1, 7)).toEqual(splitRows(rows, 0.1, 7));
    expect(splitRows(rows, 0.1, 7)).not.toEqual(splitRows(rows, 0.1, 8));
    expect(splitRows(rows, 0.1, 7)).not.toEqual(splitRows(rows, 0.1, 7 + 2 ** 32));
  });

  it('draws every row about as often', () => {
    const counts = numbers(20).map(() => 0);
    for (let seed = 0; seed < 400; seed++) {
      for (const row of splitRows(numbers(20), 0.25, seed).evaluation) counts[row] = (counts[row] ?? 0) + 1;
    }
    // 400 draws of 1/4 each: five standard deviations are 43.
    expect(Math.min(...counts)).toBeGreaterThan(57);
    expect(Math.max(...counts)).toBeLessThan(143);
  });

  it('leaves everything for training when nothing is to be evaluated', () => {
    expect(splitRows([1], 0, 0)).toEqual({ train: [1], evaluation: [] });
  });

  it('refuses shares, seeds and data that it cannot split', () => {
    const code = (...args: Parameters<typeof splitRows<number>>) =>
      studioErrorOf(() => splitRows(...args)).code;
    expect(code([1, 2], 0.6, 0)).toBe('OPTION_INVALID');
    expect(code([1, 2], Number.NaN, 0)).toBe('OPTION_INVALID');
    expect(code([1, 2], 0.1, -1)).toBe('OPTION_INVALID');
    expect(code([1], 0.1, 0)).toBe('DATA_INVALID');
  });
});
