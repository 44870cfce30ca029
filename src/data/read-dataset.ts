/**
 * Reads a data file: JSON Lines, JSON, CSV or plain text, by its name and its first characters. Every row ends up
 * either in `rows` or, with its line and the reason, in `rejected`.
 */
import { StudioError } from '../errors.ts';
import { detectFormat, FORMAT_FIELDS, FORMAT_NAMES, mostFrequent } from './detect-format.ts';
import { isObject, tryParseJson } from './json.ts';
import { DATA_LIMITS, type DataLimits, type RawRow } from './limits.ts';
import { readCsv } from './read-csv.ts';
import { readJsonLines } from './read-jsonl.ts';
import { hasRowList, readJson } from './read-json.ts';
import { readText } from './read-text.ts';
import { readContent } from './rows.ts';
import type { DataFormat, Dataset, RejectedRow, DataRow } from './types.ts';

const EXTENSIONS = '.jsonl, .json, .csv, .tsv or .txt';

/**
 * Reads the rows of a data file.
 * @example readDataset('rows.jsonl', await file.bytes()).rows.length
 */
export function readDataset(name: string, bytes: Uint8Array, limits: DataLimits = DATA_LIMITS): Dataset {
  if (bytes.byteLength > limits.fileBytes) {
    const size = (count: number): string => `${(count / 1024 / 1024).toLocaleString('en')} MiB`;
    throw new StudioError({
      code: 'INPUT_TOO_LARGE',
      message: `${name} has ${size(bytes.byteLength)}, more than ${size(limits.fileBytes)}.`,
      fix: 'Split the file, or choose a part of its rows.',
    });
  }
  const text = decode(name, bytes);
  if (text.trim() === '') throw empty(name);
  const raw = readRows(name, text, limits);
  if (raw.length === 0) throw empty(name);
  if (raw.length > limits.rows) {
    throw new StudioError({
      code: 'INPUT_TOO_LARGE',
      message: `${name} has ${raw.length.toLocaleString('en')} rows, more than ${limits.rows.toLocaleString('en')}.`,
      fix: 'Choose a part of the rows.',
    });
  }
  const format = mostFrequent(raw.map((row) => ('value' in row ? detectFormat(row.value) : undefined)));
  if (format === undefined) throw unknownFormat(name, raw);
  return sortRows(raw, format);
}

function sortRows(raw: readonly RawRow[], format: DataFormat): Dataset {
  const rows: DataRow[] = [];
  const rejected: RejectedRow[] = [];
  const seen = new Set<string>();
  const ignored = new Set<string>();
  let duplicates = 0;
  for (const row of raw) {
    const { line } = row;
    if ('problem' in row) {
      rejected.push({ line, reason: row.problem });
      continue;
    }
    const content = readContent(row.value, format);
    if (typeof content === 'string') {
      rejected.push({ line, reason: content });
      continue;
    }
    rows.push({ line, content });
    const fingerprint = hash(JSON.stringify(content));
    if (seen.has(fingerprint)) duplicates++;
    seen.add(fingerprint);
    for (const field of isObject(row.value) ? Object.keys(row.value) : []) {
      if (!FORMAT_FIELDS[format].includes(field)) ignored.add(field);
    }
  }
  return {
    format,
    formatName: FORMAT_NAMES[format],
    rows,
    rejected,
    duplicates,
    ignoredFields: [...ignored].sort(),
  };
}

/** UTF-8 with or without a byte order mark; anything else is refused with the line of its first bad byte. */
function decode(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const good = goodPrefix(bytes);
    throw new StudioError(
      {
        code: 'DATA_INVALID',
        message: `${name} is not UTF-8 text: line ${String(good)} has a byte that is not.`,
        fix: `Choose a text file (${EXTENSIONS}), and save it as UTF-8.`,
      },
      { cause },
    );
  }
}

/** The 1-based line of the first malformed byte. */
function goodPrefix(bytes: Uint8Array): number {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline === -1 ? bytes.length : newline + 1;
    try {
      utf8.decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end;
  }
  return line;
}

/** The name's extension decides; JSON and JSON Lines are told apart by what is in them. */
function readRows(name: string, text: string, limits: DataLimits): RawRow[] {
  const extension = /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase();
  switch (extension) {
    case 'csv':
    case 'tsv':
      return readCsv(name, text, limits);
    case 'txt':
    case 'text':
    case 'md':
      return readText(text, limits);
    case 'jsonl':
    case 'ndjson':
      return readAnyJson(name, text, true, limits);
    case 'json':
      return readAnyJson(name, text, false, limits);
    default:
      if (/^\s*[[{]/.test(text)) return readAnyJson(name, text, false, limits);
      throw new StudioError({
        code: 'DATA_FORMAT',
        message: `${name} is of a kind that is not known${extension === undefined ? '' : `: .${extension}`}.`,
        fix: `Choose a file that ends in ${EXTENSIONS}.`,
      });
  }
}

/** A document has all rows in one value; in JSON Lines the first line is a value of its own. */
function readAnyJson(name: string, text: string, isLines: boolean, limits: DataLimits): RawRow[] {
  const firstLine = /^\s*([^\r\n]*)/.exec(text)?.[1]?.trim() ?? '';
  const isWhole = text.trim().length === firstLine.length;
  const first = isWhole || !isLines ? tryParseJson(firstLine) : undefined;
  const isDocument =
    firstLine.startsWith('[') ||
    (!isLines && firstLine.startsWith('{') && first !== undefined && 'problem' in first) ||
    (isWhole && first !== undefined && 'value' in first && hasRowList(first.value));
  return isDocument ? readJson(name, text, limits) : readJsonLines(text, limits);
}

/** 128 bits of FNV-1a with four seeds: enough to take equal fingerprints for equal rows. */
function hash(text: string): string {
  const state = [0x811c9dc5, 0x9dc5811c, 0x01000193, 0x7feb352d];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    for (let k = 0; k < 4; k++)
      state[k] = Math.imul((state[k] ?? 0) ^ (code + k * 0x10001), 0x01000193 + 2 * k);
  }
  return state.map((word) => (word >>> 0).toString(36)).join('.');
}

function empty(name: string): StudioError {
  return new StudioError({
    code: 'DATA_EMPTY',
    message: `${name} has no rows.`,
    fix: 'Choose a file with at least one row.',
  });
}

function unknownFormat(name: string, raw: readonly RawRow[]): StudioError {
  const first = raw.find((row) => 'value' in row) ?? raw[0];
  const found =
    first === undefined || 'problem' in first
      ? (first?.problem ?? 'no row')
      : isObject(first.value)
        ? `its columns: ${Object.keys(first.value).slice(0, 10).join(', ') || 'none'}`
        : 'it is no object';
  return new StudioError({
    code: 'DATA_FORMAT',
    message: `${name} has no row in a known format. Line ${String(first?.line ?? 1)}: ${found}.`,
    fix: `Use one of these formats: ${Object.values(FORMAT_NAMES).join('; ')}.`,
  });
}
