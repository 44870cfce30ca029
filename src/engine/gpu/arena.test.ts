import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planSlots, type Interval } from './arena.ts';

const interval: fc.Arbitrary<Interval> = fc
  .record({ bytes: fc.integer({ min: 16, max: 5000 }), first: fc.nat(30), length: fc.nat(12) })
  .map(({ bytes, first, length }) => ({ bytes, first, last: first + length }));

const total = (sizes: readonly number[]): number => sizes.reduce((sum, bytes) => sum + bytes, 0);

test('tensors that live together never share a slot, every slot is large enough, and sharing never costs', () => {
  fc.assert(
    fc.property(fc.array(interval, { maxLength: 40 }), (intervals) => {
      const { slots, slotOf } = planSlots(intervals);
      expect(slotOf).toHaveLength(intervals.length);
      const clashes = intervals.flatMap((a, i) =>
        intervals
          .slice(i + 1)
          .filter((b, j) => slotOf[i] === slotOf[i + 1 + j] && a.first <= b.last && b.first <= a.last),
      );
      expect(clashes).toEqual([]);
      intervals.forEach(({ bytes }, i) => expect(slots[slotOf[i] ?? -1] ?? 0).toBeGreaterThanOrEqual(bytes));
      expect(total(slots)).toBeLessThanOrEqual(total(intervals.map(({ bytes }) => bytes)));
    }),
  );
});

test('a chain of tensors needs two slots', () => {
  const chain = Array.from({ length: 9 }, (_, i) => ({ bytes: 100, first: i, last: i + 1 }));
  expect(planSlots(chain).slots).toEqual([100, 100]);
});

test('a tensor takes the smallest free slot that fits, else lets the largest grow', () => {
  const plan = planSlots([
    { bytes: 300, first: 0, last: 0 },
    { bytes: 100, first: 0, last: 0 },
    { bytes: 90, first: 1, last: 1 },
    { bytes: 400, first: 2, last: 2 },
  ]);
  expect(plan.slots).toEqual([400, 100]);
  expect(plan.slotOf).toEqual([0, 1, 1, 0]);
});

test('two tensors of one step do not share, even when one ends where the other begins', () => {
  const { slotOf } = planSlots([
    { bytes: 64, first: 0, last: 3 },
    { bytes: 64, first: 3, last: 5 },
  ]);
  expect(slotOf[0]).not.toBe(slotOf[1]);
});
