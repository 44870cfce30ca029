/** Tells people what was read of a data file, and every row that is left out of it. */
import type { RejectedRow } from '../data/types.ts';
import type { PreparedSummary } from '../run/prepare-data.ts';
import type { Reporter } from './progress.ts';
import { count } from './words.ts';

/** Rejected rows that are listed; `--json` gives them all. */
const LISTED = 50;

/** Notes format, sizes, rejected rows and what else is worth knowing. */
export function reportData(report: Reporter, summary: PreparedSummary, evalName: string | null): void {
  const { name, format, trainRows, evalRows, tokens, trainedTokens } = summary;
  const evaluation = evalRows > 0 ? `, ${count(evalRows)} to evaluate` : '';
  report.note(
    `Data: ${name}, ${format}: ${count(trainRows)} rows${evaluation}; ${count(trainedTokens)} of ${count(tokens)} tokens count`,
  );
  listRejected(report, name, summary.rejected);
  if (evalName !== null) listRejected(report, evalName, summary.evalRejected);
  if (summary.truncated > 0)
    report.note(`${count(summary.truncated)} rows are cut to ${count(summary.maxLength)} tokens`);
  if (summary.duplicates > 0)
    report.note(`${count(summary.duplicates)} rows say what an earlier row says; they are kept`);
  if (summary.ignoredFields.length > 0) report.note(`Not used: ${summary.ignoredFields.join(', ')}`);
  for (const note of summary.notes) report.note(note);
}

function listRejected(report: Reporter, name: string, rejected: readonly RejectedRow[]): void {
  for (const { line, reason } of rejected.slice(0, LISTED))
    report.note(`${name}:${line}: left out: ${reason}`);
  if (rejected.length > LISTED)
    report.note(`${name}: ${count(rejected.length - LISTED)} more rows are left out; --json lists them all`);
}
