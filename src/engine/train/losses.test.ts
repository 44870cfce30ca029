import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lossReference, lossSlopeReference, type LossArrays } from '../reference/losses.ts';
import { randomValues } from '../testing/compare.ts';
import { centralDifferences } from '../testing/differences.ts';
import { relativeL2 } from '../testing/distance.ts';
import { LOSS_NAMES, lossFrom, lossTerm, type LossName } from './losses.ts';

const BETA = 0.05;

function arrays(rows: number, seed: number): LossArrays {
  const logprob = randomValues(seed, rows, 5).map((value) => value - 5);
  const shift = randomValues(seed + 1, rows, 0.7);
  return {
    logprob,
    q: logprob.map((value, i) => value - (shift[i] ?? 0)),
    signal: randomValues(seed + 2, rows, 2).map((value, i) => (i % 5 === 2 ? 0 : value)),
    low: new Float64Array(rows).fill(0.8),
    high: new Float64Array(rows).fill(1.2),
    beta: BETA,
  };
}

function total(name: LossName, t: LossArrays): { value: number; slopes: Float64Array } {
  const terms = Array.from(t.logprob, (p, i) =>
    lossTerm(name, p, [
      t.signal[i] ?? NaN,
      t.q[i] ?? NaN,
      name === 'dro' ? t.beta : (t.low[i] ?? NaN),
      t.high[i] ?? NaN,
    ]),
  );
  return {
    value: terms.reduce((sum, { value }) => sum + value, 0),
    slopes: Float64Array.from(terms, ({ slope }) => slope),
  };
}

for (const name of LOSS_NAMES) {
  test(`${name} is the formula, with its derivative`, () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(1e6), (rows, seed) => {
        const t = arrays(rows, seed);
        const { value, slopes } = total(name, t);
        const want = lossReference(name, t);
        expect(Math.abs(value - want)).toBeLessThanOrEqual(1e-6 * Math.max(Math.abs(want), rows));
        // relativeL2 of nothing but zeros is zero.
        expect(relativeL2(slopes, lossSlopeReference(name, t))).toBeLessThan(1e-6);
      }),
    );
  });

  test(`the derivative of ${name} agrees with central differences`, () => {
    const t = arrays(97, 7);
    const each = (logprob: Float64Array): Float64Array => {
      // The clipped ratio of cispo is a constant of the derivative.
      if (name === 'cispo') return logprob.map((p, i) => (lossSlopeReference(name, t)[i] ?? NaN) * p);
      return logprob.map((p, i) =>
        lossReference(name, {
          logprob: [p],
          signal: [t.signal[i] ?? NaN],
          q: [t.q[i] ?? NaN],
          low: [0.8],
          high: [1.2],
          beta: BETA,
        }),
      );
    };
    const ones = new Float64Array(97).fill(1);
    const want = centralDifferences(each, t.logprob, ones, 1e-6);
    expect(relativeL2(lossSlopeReference(name, t), want)).toBeLessThan(1e-7);
  });
}

describe('lossTerm', () => {
  test('clips neither at the bounds nor against the advantage', () => {
    const row = (signal: number): [number, number, number, number] => [signal, 0, 1, 1];
    expect(lossTerm('ppo', 0, row(1))).toEqual({ value: -1, slope: -1 });
    expect(lossTerm('ppo', 0, row(-1))).toEqual({ value: 1, slope: 1 });
    expect(lossTerm('ppo', 1, row(1))).toEqual({ value: -1, slope: 0 });
    expect(lossTerm('ppo', 1, row(-1)).slope).toBeCloseTo(Math.E, 6);
    expect(lossTerm('ppo', -1, row(-1))).toEqual({ value: 1, slope: 0 });
    expect(lossTerm('ppo', -1, row(1)).slope).toBeCloseTo(-1 / Math.E, 6);
  });

  test('a signal of 0 masks, whatever the ratio; dro still holds on to q', () => {
    for (const name of ['cross_entropy', 'importance_sampling', 'ppo', 'cispo'] as const)
      expect(lossTerm(name, -1, [0, -500, 0.8, 1.2])).toEqual({ value: 0, slope: 0 });
    expect(lossTerm('dro', -1, [0, -3, 0.5, 0])).toEqual({ value: 1, slope: 1 });
  });

  test('a ratio beyond float32 is infinite, as on the GPU', () => {
    expect(lossTerm('importance_sampling', 0, [1, -100, 0, 0]).value).toBe(-Infinity);
    expect(lossTerm('ppo', 0, [1, -100, 0.8, 1.2])).toEqual({ value: -1.2, slope: 0 });
  });
});

describe('lossFrom', () => {
  test('fills the defaults in', () => {
    expect(lossFrom('ppo')).toEqual({ name: 'ppo', clipLowThreshold: 0.8, clipHighThreshold: 1.2 });
    expect(lossFrom('cispo', { clipHighThreshold: 5 })).toEqual({
      name: 'cispo',
      clipLowThreshold: 0.8,
      clipHighThreshold: 5,
    });
    expect(lossFrom('dro', { beta: 0 })).toEqual({ name: 'dro', beta: 0 });
    expect(lossFrom('cross_entropy')).toEqual({ name: 'cross_entropy' });
    expect(lossFrom('importance_sampling')).toEqual({ name: 'importance_sampling' });
  });

  test.each([
    ['gspo', {}, 'gspo'],
    ['constructor', {}, 'constructor'],
    ['cross_entropy', { beta: 1 }, 'beta'],
    ['ppo', { beta: 1 }, 'beta'],
    ['ppo', { clipLowThreshold: 1.3 }, '1.3 … 1.2'],
    ['cispo', { clipLowThreshold: -0.1 }, '-0.1'],
    ['ppo', { clipHighThreshold: Infinity }, 'Infinity'],
    ['cispo', { clipHighThreshold: NaN }, 'NaN'],
    ['dro', {}, 'beta'],
    ['dro', { beta: -1 }, '-1'],
    ['dro', { beta: NaN }, 'NaN'],
    ['dro', { beta: 1, clipLowThreshold: 0 }, 'clipLowThreshold'],
  ])('refuses %s with %o', (name, settings, value) => {
    const attempt = (): unknown => lossFrom(name, settings as Record<string, number>);
    expect(attempt).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }));
    expect(attempt).toThrow(value);
  });
});
