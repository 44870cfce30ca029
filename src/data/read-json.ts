/**
 * JSON files: an array of rows, or an object that has one. The rows are cut apart before they are parsed, so that each
 * keeps its line number and a malformed one (with NaN in it, say) does not take the others with it.
 */
import { StudioError } from '../errors.ts';
import type { JsonValue } from '../formats/strict-json.ts';
import { isObject, tryParseJson } from './json.ts';
import type { DataLimits, RawRow } from './limits.ts';
import { readRow } from './read-jsonl.ts';

/** The keys under which an object may hold the rows, in this order. */
const ROW_KEYS = ['data', 'train', 'rows'];

interface Element {
  /** Offsets of the value; for the members of an object, of what follows the colon. */
  start: number;
  end: number;
  key: string | undefined;
}

/** Whether a JSON value is an object that holds a list of rows under one of the usual keys. */
export function hasRowList(value: JsonValue): boolean {
  return isObject(value) && ROW_KEYS.some((key) => Array.isArray(value[key]));
}

/** The rows of a JSON text. Throws when the text around the rows is not well formed. */
export function readJson(name: string, text: string, limits: DataLimits): RawRow[] {
  const start = skipSpace(text, 0);
  const lines = lineCounter(text);
  let container = start;
  if (text[start] === '{') {
    const members = elements(name, text, start, lines);
    const found = ROW_KEYS.flatMap((key) => members.list.filter((member) => member.key === key)).find(
      (member) => text[member.start] === '[',
    );
    if (found === undefined) throw noRows(name, members.list);
    requireEnd(name, text, members.end, lines);
    container = found.start;
  } else if (text[start] !== '[') throw malformed(name, lines(start), 'it starts with neither [ nor {');
  const rows = elements(name, text, container, lines);
  if (container === start) requireEnd(name, text, rows.end, lines);
  return rows.list.map((row) => readRow(text.slice(row.start, row.end), lines(row.start), limits));
}

/** Cuts the array or object at `open` into its elements; only brackets and strings are looked at. */
function elements(
  name: string,
  text: string,
  open: number,
  lines: (at: number) => number,
): { list: Element[]; end: number } {
  const list: Element[] = [];
  const isObject = text[open] === '{';
  let depth = 0;
  let start = open + 1;
  let key: string | undefined;
  for (let at = open; at < text.length; at++) {
    const character = text[at];
    if (character === '"') at = stringEnd(text, at);
    else if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth--;
    const closed = depth === 0;
    if (isObject && depth === 1 && character === ':' && key === undefined) {
      const parsed = tryParseJson(text.slice(start, at).trim());
      key = 'value' in parsed && typeof parsed.value === 'string' ? parsed.value : '';
      start = at + 1;
    } else if (closed || (depth === 1 && character === ',')) {
      const from = skipSpace(text, start);
      const to = at - (/\s*$/.exec(text.slice(Math.max(from, at - 200), at))?.[0].length ?? 0);
      // An empty array has no element; a comma without one is an element with a problem.
      if (from < at || !closed || list.length > 0)
        list.push({ start: Math.min(from, at), end: Math.max(from, to), key });
      if (closed) {
        if ((character === '}') !== isObject)
          throw malformed(name, lines(at), `there is a ${character ?? ''} too many`);
        return { list, end: at + 1 };
      }
      start = at + 1;
      key = undefined;
    }
  }
  throw malformed(name, lines(open), `the ${isObject ? '{' : '['} on this line is never closed`);
}

/** The offset of the quote that ends the string, or the end of the text. */
function stringEnd(text: string, quote: number): number {
  for (let at = quote + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text.charAt(at))) at++;
  return at;
}

function requireEnd(name: string, text: string, end: number, lines: (at: number) => number): void {
  const rest = skipSpace(text, end);
  if (rest < text.length) throw malformed(name, lines(rest), 'there is text after the end');
}

/** A function that gives the 1-based line of an offset; fastest for rising offsets. */
function lineCounter(text: string): (at: number) => number {
  let line = 1;
  let counted = 0;
  return (at) => {
    if (at < counted) [line, counted] = [1, 0];
    for (
      let next = text.indexOf('\n', counted);
      next !== -1 && next < at;
      next = text.indexOf('\n', counted)
    ) {
      line++;
      counted = next + 1;
    }
    return line;
  };
}

function noRows(name: string, members: readonly Element[]): StudioError {
  const keys = members.map((member) => member.key ?? '').slice(0, 10);
  return new StudioError({
    code: 'DATA_FORMAT',
    message: `${name} holds an object without a list of rows (its keys: ${keys.join(', ') || 'none'}).`,
    fix: 'Put the rows into an array, or under "data", "train" or "rows".',
  });
}

function malformed(name: string, line: number, problem: string): StudioError {
  return new StudioError({
    code: 'DATA_INVALID',
    message: `${name} is not valid JSON: line ${String(line)}: ${problem}.`,
    fix: 'Correct the file, or save it as JSON Lines: one row per line.',
  });
}
