import { join } from 'node:path';
import { expect, test } from 'vitest';
import { failureLines, playwrightFailures, vitestFailures } from './failures.mjs';
import { ROOT } from './paths.mjs';

test('names the failed tests of a vitest report, and files that could not be loaded', () => {
  const report = {
    testResults: [
      {
        name: join(ROOT, 'src/a.test.ts'),
        status: 'failed',
        assertionResults: [
          { status: 'passed', fullName: 'adds' },
          {
            status: 'failed',
            fullName: 'takes away',
            failureMessages: ['\u001b[31mexpected 1\u001b[39m\nat b'],
          },
        ],
      },
      { name: join(ROOT, 'src/b.test.ts'), status: 'failed', message: 'no such file', assertionResults: [] },
    ],
  };
  expect(vitestFailures(report)).toEqual([
    'src/a.test.ts > takes away\n    expected 1\n    at b',
    'src/b.test.ts\n    no such file',
  ]);
  expect(vitestFailures(null)).toEqual([]);
});

test('names the failed specs of a Playwright report, in nested suites and on first tries', () => {
  /** @param {string} title @param {Array<{ status: string, errors?: Array<{ message: string }> }>} results */
  const spec = (title, ...results) => ({ title, ok: true, file: 'x.spec.ts', tests: [{ results }] });
  const report = {
    suites: [
      {
        specs: [spec('opens', { status: 'passed', errors: [] })],
        suites: [
          {
            specs: [spec('saves', { status: 'failed', errors: [{ message: 'gone' }] }, { status: 'passed' })],
          },
        ],
      },
    ],
    errors: [{ message: 'no browser' }],
  };
  expect(playwrightFailures(report)).toEqual(['x.spec.ts > saves\n    gone', 'e2e\n    no browser']);
  expect(playwrightFailures(null)).toEqual([]);
});

test('says nothing without failures, and names a limited number of them', () => {
  expect(failureLines([])).toEqual([]);
  const lines = failureLines(Array.from({ length: 25 }, (_, i) => `t${String(i)}`));
  expect(lines).toHaveLength(24);
  expect(lines.at(-2)).toBe('... and 5 more');
});
