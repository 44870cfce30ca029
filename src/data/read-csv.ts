/** CSV with a header line; commas, semicolons or tabs, whichever the header has most of. */
import Papa from 'papaparse';
import { StudioError } from '../errors.ts';
import { tryParseJson } from './json.ts';
import { lengthProblem, type DataLimits, type RawRow } from './limits.ts';

/** Columns that hold lists, written as JSON in their cells. */
const JSON_COLUMNS = new Set(['messages', 'conversations', 'input_ids', 'labels', 'attention_mask']);

/** The rows of a CSV text as objects by column name. */
export function readCsv(name: string, text: string, limits: DataLimits): RawRow[] {
  const rows: RawRow[] = [];
  let header: string[] | undefined;
  let line = 1;
  let start = 0;
  Papa.parse<string[]>(text, {
    delimiter: delimiterOf(text),
    step: ({ data: cells, errors, meta }) => {
      const end = meta.cursor;
      const raw = text.slice(start, end);
      const first = line;
      line += raw.split(/\r\n|\r|\n/).length - 1;
      start = end;
      if (cells.length === 1 && cells[0]?.trim() === '') return;
      if (header === undefined) header = checkHeader(name, cells);
      else rows.push(readRow(header, cells, errors[0]?.message, raw.length, first, limits));
    },
  });
  return rows;
}

function readRow(
  header: readonly string[],
  cells: readonly string[],
  error: string | undefined,
  characters: number,
  line: number,
  limits: DataLimits,
): RawRow {
  const problem =
    (error === undefined ? undefined : `not valid CSV: ${error}`) ??
    lengthProblem(characters, limits) ??
    (cells.length === header.length
      ? undefined
      : `the row has ${String(cells.length)} cells, the header has ${String(header.length)}`);
  if (problem !== undefined) return { line, problem };
  const value: Record<string, unknown> = {};
  for (const [i, column] of header.entries()) {
    const cell = cells[i] ?? '';
    if (!JSON_COLUMNS.has(column)) value[column] = cell;
    else if (cell.trim() !== '') {
      const parsed = tryParseJson(cell);
      if ('problem' in parsed)
        return { line, problem: `the cell "${column}" is not valid JSON: ${parsed.problem}` };
      value[column] = parsed.value;
    }
  }
  return { line, value };
}

function delimiterOf(text: string): string {
  const header = (/^[^\r\n]*/.exec(text.trimStart())?.[0] ?? '').replaceAll(/"[^"]*"/g, '');
  const count = (delimiter: string): number => header.split(delimiter).length;
  return [';', '\t'].reduce((best, delimiter) => (count(delimiter) > count(best) ? delimiter : best), ',');
}

function checkHeader(name: string, cells: readonly string[]): string[] {
  const header = cells.map((cell) => cell.trim());
  const twice = header.find((column, i) => header.indexOf(column) !== i);
  if (twice !== undefined) {
    throw new StudioError({
      code: 'DATA_FORMAT',
      message: `${name} has the column "${twice}" twice.`,
      fix: 'Give every column of the header line a name of its own.',
    });
  }
  return header;
}
