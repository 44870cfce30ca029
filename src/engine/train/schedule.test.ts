import { expect, test } from 'vitest';
import goldens from './fixtures/schedule-goldens.json';
import { scheduleFactor } from './schedule.ts';
import type { ScheduleName } from './types.ts';

const NAMES: readonly ScheduleName[] = ['constant', 'linear', 'cosine'];

for (const name of NAMES) {
  const cases = goldens.cases.filter((golden) => golden.name === name);
  test.each(cases)(
    `the ${name} schedule with $warmupSteps of $totalSteps steps to warm up is that of transformers`,
    ({ warmupSteps, totalSteps, factors }) => {
      expect(factors).toHaveLength(totalSteps + 2);
      factors.forEach((want, index) => {
        expect(scheduleFactor({ name, warmupSteps, totalSteps }, index)).toBeCloseTo(want, 14);
      });
    },
  );
}

test('the fixture knows no other schedule', () => {
  expect(new Set(goldens.cases.map(({ name }) => name))).toEqual(new Set(NAMES));
});
