/** JSON Lines: one JSON value per line. Empty lines are no rows. */
import { tryParseJson } from './json.ts';
import { lengthProblem, type DataLimits, type RawRow } from './limits.ts';

/** The rows of a JSON Lines text; a malformed line is a row with its problem. */
export function readJsonLines(text: string, limits: DataLimits): RawRow[] {
  const rows: RawRow[] = [];
  let line = 0;
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    const row = text.slice(start, end).trim();
    line++;
    start = end + 1;
    if (row !== '') rows.push(readRow(row, line, limits));
  }
  return rows;
}

/** One JSON value with its line. */
export function readRow(json: string, line: number, limits: DataLimits): RawRow {
  const problem = lengthProblem(json.length, limits);
  if (problem !== undefined) return { line, problem };
  const parsed = tryParseJson(json);
  return 'problem' in parsed
    ? { line, problem: `not valid JSON: ${parsed.problem}` }
    : { line, value: parsed.value };
}
