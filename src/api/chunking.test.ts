import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { combineOutputs, datumBytes, splitBatch } from './chunking.ts';
import { combineMetrics } from './combine-metrics.ts';
import { APIResponseValidationError } from './errors.ts';
import { ModelInput } from './model-input.ts';
import { prepareTrainingCall } from './training-call.ts';

const dataOf = (lengths: readonly number[]) =>
  prepareTrainingCall(
    lengths.map((n) => ({
      modelInput: ModelInput.fromInts(Array.from({ length: n }, (_, i) => i)),
      lossFnInputs: { targetTokens: Array.from({ length: n }, () => 1) },
    })),
    'cross_entropy',
  ).data;

describe('splitting a batch', () => {
  it('counts tokens, targets and weights', () => {
    const [datum] = dataOf([10]);
    expect(datum && datumBytes(datum)).toBe(10 * (4 + 8 + 4));
  });

  it('keeps to both limits, loses nothing and keeps the order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 2000 }),
        (lengths, maxDatums, maxBytes) => {
          const data = dataOf(lengths);
          const ranges = splitBatch(data, { maxDatums, maxBytes, parallel: false });
          expect(ranges.flatMap(([from, to]) => data.slice(from, to))).toEqual([...data]);
          for (const [from, to] of ranges) {
            expect(to - from).toBeGreaterThan(0);
            expect(to - from).toBeLessThanOrEqual(maxDatums);
            const bytes = data.slice(from, to).reduce((sum, datum) => sum + datumBytes(datum), 0);
            expect(to - from === 1 || bytes <= maxBytes).toBe(true);
          }
        },
      ),
    );
  });
});

describe('combining metrics', () => {
  it('reduces by the suffix', () => {
    const parts = [
      {
        'a:mean': 1,
        'b:sum': 2,
        'c:min': 3,
        'd:max': 4,
        'e:slack': 1,
        'f:unique': 7,
        'g:median': 1,
        'h:sum': 1,
      },
      { 'a:mean': 5, 'b:sum': 3, 'c:min': 1, 'd:max': 9, 'e:slack': 5, 'f:unique': 8, 'g:median': 2 },
    ];
    expect(combineMetrics(parts, [3, 1])).toEqual({
      'a:mean': 2,
      'b:sum': 5,
      'c:min': 1,
      'd:max': 9,
      'e:slack': 3,
      'f:unique': 7,
      'f:unique_1': 8,
    });
  });

  it('hashes without regard to order', () => {
    const one = combineMetrics([{ 'x:hash_unordered': 1.5 }, { 'x:hash_unordered': -2 }], [1, 1]);
    const two = combineMetrics([{ 'x:hash_unordered': -2 }, { 'x:hash_unordered': 1.5 }], [1, 1]);
    const three = combineMetrics([{ 'x:hash_unordered': -2 }, { 'x:hash_unordered': 1.25 }], [1, 1]);
    expect(one).toEqual(two);
    expect(one).not.toEqual(three);
  });

  it.each(['loss', 'a:b:sum'])('throws for %j, which does not say how it is reduced', (key) => {
    expect(() => combineMetrics([{ [key]: 1 }, { [key]: 1 }], [1, 1])).toThrow(APIResponseValidationError);
  });

  it('puts outputs together in the order of the datums, and refuses an answer of another size', () => {
    const output = (...losses: number[]) => ({
      lossFnOutputType: 'scalar',
      lossFnOutputs: losses.map((loss) => ({ logprobs: { data: [loss], dtype: 'float32' as const } })),
      metrics: { 'loss:sum': losses.reduce((a, b) => a + b, 0) },
    });
    const whole = combineOutputs([output(1, 2), output(3)], [2, 1]);
    expect(whole).toEqual(output(1, 2, 3));
    expect(() => combineOutputs([output(1)], [2])).toThrow(APIResponseValidationError);
  });
});
