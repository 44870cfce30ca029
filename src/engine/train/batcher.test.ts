import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IGNORED_LABEL, type TokenizedExample } from '../../data/types.ts';
import { RowCursor, epochOrder, groupByTokens, inputLength, packExamples, targetCount } from './batcher.ts';

describe('epochOrder', () => {
  test('is a permutation, the same each time', () => {
    const arguments_ = [fc.nat(300), fc.nat(50), fc.nat(Number.MAX_SAFE_INTEGER)] as const;
    fc.assert(
      fc.property(...arguments_, (rows, epoch, seed) => {
        const order = epochOrder(rows, epoch, seed, true);
        expect([...order].sort((a, b) => a - b)).toEqual(epochOrder(rows, epoch, seed, false));
        expect(epochOrder(rows, epoch, seed, true)).toEqual(order);
      }),
    );
  });

  test('differs by epoch and by seed, in either half of it', () => {
    const orders = [
      epochOrder(40, 0, 1, true),
      epochOrder(40, 1, 1, true),
      epochOrder(40, 0, 2, true),
      epochOrder(40, 0, 1 + 2 ** 32, true),
    ];
    expect(new Set(orders.map(String)).size).toBe(orders.length);
  });

  test('keeps the order of the file without shuffling', () => {
    expect(epochOrder(4, 3, 9, false)).toEqual([0, 1, 2, 3]);
  });

  test('puts every row in every place equally often', () => {
    const runs = 3000;
    const counts = Array.from({ length: 25 }, () => 0);
    for (let seed = 0; seed < runs; seed++) {
      epochOrder(5, 0, seed, true).forEach((row, place) => {
        counts[row * 5 + place] = (counts[row * 5 + place] ?? 0) + 1;
      });
    }
    // Five standard deviations of a binomial count.
    const spread = 5 * Math.sqrt(runs * 0.2 * 0.8);
    for (const count of counts) expect(Math.abs(count - runs / 5)).toBeLessThan(spread);
  });
});

describe('RowCursor', () => {
  test('goes through each epoch in its own order', () => {
    const cursor = new RowCursor(7, 5, true);
    expect(cursor.take(14)).toEqual([...epochOrder(7, 0, 5, true), ...epochOrder(7, 1, 5, true)]);
    expect([cursor.taken, cursor.epoch]).toEqual([14, 2]);
  });

  test('goes on where a run stopped, wherever that was', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(60), fc.boolean(), (rows, taken, shuffle) => {
        const through = new RowCursor(rows, 3, shuffle);
        through.take(taken);
        const resumed = new RowCursor(rows, 3, shuffle, taken);
        expect(resumed.epoch).toBe(taken / rows);
        expect(resumed.take(25)).toEqual(through.take(25));
      }),
    );
  });

  test('wraps at the end of the file without shuffling', () => {
    expect(new RowCursor(3, 0, false, 2).take(5)).toEqual([2, 0, 1, 2, 0]);
  });
});

/** An example of these ids whose first `masked` labels are ignored. */
function example(inputIds: number[], masked: number): TokenizedExample {
  return { inputIds, labels: inputIds.map((id, index) => (index < masked ? IGNORED_LABEL : id)) };
}

describe('packing', () => {
  test('counts what enters the model and what is trained', () => {
    expect(inputLength(example([5, 6, 7], 0))).toBe(2);
    expect(inputLength(example([5], 0))).toBe(1);
    // Nothing predicts the first token.
    expect(targetCount(example([5, 6, 7], 0))).toBe(2);
    expect(targetCount(example([5, 6, 7], 2))).toBe(1);
    expect(targetCount(example([5], 0))).toBe(0);
  });

  test('groups examples in order, as many as fit', () => {
    const lengths = [3, 4, 2, 9, 5, 5].map((length) =>
      example(
        Array.from({ length }, () => 1),
        0,
      ),
    );
    const groups = groupByTokens(lengths, 8);
    expect(groups.map((group) => group.map(inputLength))).toEqual([[2, 3, 1], [8], [4, 4]]);
    expect(groups.flat()).toEqual(lengths);
    expect(groupByTokens([], 8)).toEqual([]);
  });

  test('lays sequences one behind another, with positions and bounds of their own', () => {
    const packed = packExamples(
      [example([11, 12, 13, 14], 2), example([21], 0), example([31, 32, 33], 0)],
      0.25,
    );
    expect([...packed.ids]).toEqual([11, 12, 13, 21, 31, 32]);
    expect([...packed.positions]).toEqual([0, 1, 2, 0, 0, 1]);
    expect([...packed.segStart]).toEqual([0, 0, 0, 3, 4, 4]);
    expect([...packed.segEnd]).toEqual([3, 3, 3, 4, 6, 6]);
    expect([...packed.headRows]).toEqual([1, 2, 4, 5]);
    expect([...packed.targets]).toEqual([13, 14, 32, 33]);
    expect([...packed.weights]).toEqual([0.25, 0.25, 0.25, 0.25]);
  });

  test('every row that counts predicts the next token of its own sequence', () => {
    const ids = fc.array(fc.record({ id: fc.nat(999), trained: fc.boolean() }), {
      minLength: 2,
      maxLength: 9,
    });
    fc.assert(
      fc.property(fc.array(ids, { maxLength: 6 }), (sequences) => {
        const examples = sequences.map((tokens) => ({
          inputIds: tokens.map(({ id }) => id),
          labels: tokens.map(({ id, trained }) => (trained ? id : IGNORED_LABEL)),
        }));
        const packed = packExamples(examples, 1);
        const pairs = [...packed.headRows].map((row, index) => [packed.ids[row], packed.targets[index]]);
        const want = examples.flatMap(({ inputIds, labels }) =>
          labels.flatMap((label, index) =>
            index > 0 && label !== IGNORED_LABEL ? [[inputIds[index - 1], label]] : [],
          ),
        );
        expect(pairs).toEqual(want);
        expect(packed.weights).toHaveLength(want.length);
      }),
    );
  });
});
