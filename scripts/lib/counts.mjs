// What passed, failed and was skipped: read from the reports of the test runners.

/** @typedef {{ passed: number, failed: number, skipped: number, failures?: string[] }} Counts failures: their names and errors, where a runner reports them */

/**
 * Counts of one check that is not a test run.
 * @param {boolean} ok
 * @returns {Counts}
 */
export function countCheck(ok) {
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 };
}

/**
 * The sum of counts.
 * @param {Counts[]} list
 * @returns {Counts}
 */
export function sumCounts(list) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const counts of list) {
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
  }
  return total;
}

/**
 * A run that ended badly without a failed test (a crash, an unhandled error, no test at all) counts one failure.
 * @param {Counts} counts
 * @param {number} status the runner's exit status
 * @returns {Counts}
 */
function withStatus(counts, status) {
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/**
 * Counts of vitest's JSON report; a file that could not be loaded counts one failure.
 * @param {{ testResults: Array<{ status: string, assertionResults: Array<{ status: string }> }> } | null} report
 * @param {number} status vitest's exit status
 * @returns {Counts}
 */
export function countVitest(report, status) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report?.testResults ?? []) {
    const results = file.assertionResults.map((result) => result.status);
    if (file.status === 'failed' && !results.includes('failed')) counts.failed += 1;
    for (const result of results) {
      if (result === 'passed') counts.passed += 1;
      else if (result === 'failed') counts.failed += 1;
      else counts.skipped += 1;
    }
  }
  return withStatus(counts, status);
}

/**
 * Counts of Playwright's JSON report; a test that passed only on a repetition counts as failed.
 * @param {{ stats: { expected: number, unexpected: number, flaky: number, skipped: number } } | null} report
 * @param {number} status Playwright's exit status
 * @returns {Counts}
 */
export function countPlaywright(report, status) {
  const { expected = 0, unexpected = 0, flaky = 0, skipped = 0 } = report?.stats ?? {};
  return withStatus({ passed: expected, failed: unexpected + flaky, skipped }, status);
}
