import { expect, test } from 'vitest';
import { countCheck, countPlaywright, countVitest, sumCounts } from './counts.mjs';

/** @param {string} status @param {string[]} results */
const file = (status, ...results) => ({
  status,
  assertionResults: results.map((result) => ({ status: result })),
});

test('counts the tests of a vitest report by their status', () => {
  const report = {
    testResults: [file('passed', 'passed', 'pending'), file('failed', 'passed', 'failed', 'todo')],
  };
  expect(countVitest(report, 1)).toEqual({ passed: 2, failed: 1, skipped: 2 });
});

test('a test file that could not be loaded counts as one failure', () => {
  expect(countVitest({ testResults: [file('failed')] }, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test('a run that failed without a failed test counts as one failure', () => {
  expect(countVitest({ testResults: [file('passed', 'passed')] }, 1)).toEqual({
    passed: 1,
    failed: 1,
    skipped: 0,
  });
  expect(countVitest(null, 134)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  expect(countPlaywright(null, 1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test('a flaky end-to-end test counts as failed', () => {
  const stats = { expected: 3, unexpected: 1, flaky: 1, skipped: 2 };
  expect(countPlaywright({ stats }, 1)).toEqual({ passed: 3, failed: 2, skipped: 2 });
});

test('sums checks and tests', () => {
  expect(sumCounts([countCheck(true), countCheck(false), countCheck(true)])).toEqual({
    passed: 2,
    failed: 1,
    skipped: 0,
  });
});
