/** A data set as training examples, with an account of every row. */
import { StudioError } from '../errors.ts';
import { encodeRow, type EncodedRow, type RowEncoder } from './encode-row.ts';
import { IGNORED_LABEL, type Dataset, type RejectedRow, type TokenizedExample } from './types.ts';

export interface EncodeOptions extends RowEncoder {
  /** Longest row in tokens; what is longer is cut at its end. */
  maxLength: number;
  /** Tokens that the model has; every id must lie below. */
  vocabSize: number;
  /** Called now and then with the rows that are done. */
  onProgress?: (done: number, total: number) => void;
}

/** Figures for people. */
export interface DatasetStats {
  /** Rows that are trained, and rows that are left out with a reason. */
  rows: number;
  rejected: number;
  /** Tokens of the examples, and how many of them the model is trained to predict. */
  tokens: number;
  trainedTokens: number;
  /** Lengths of the rows in tokens, before any is cut: median, 95th percentile, maximum. */
  p50Length: number;
  p95Length: number;
  maxLength: number;
  /** Rows that were cut to the maximum length. */
  truncated: number;
  /** Rows whose content an earlier row already had; they are kept. */
  duplicates: number;
  /** Rows in which one token runs across the border of prompt and completion. */
  mergedBoundaries: number;
}

export interface EncodedDataset {
  examples: TokenizedExample[];
  /** The line of each example in the file. */
  lines: number[];
  /** The rows that are left out: those that could not be read, and those in which nothing would be trained. */
  rejected: RejectedRow[];
  stats: DatasetStats;
}

/** Encodes all rows; throws DATA_NOTHING_TRAINED, with the reason, when none of them has a token to train. */
export function encodeDataset(dataset: Dataset, options: EncodeOptions): EncodedDataset {
  const { maxLength, vocabSize, onProgress } = options;
  if (!Number.isInteger(maxLength) || maxLength < 2) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The maximum length is ${String(maxLength)}.`,
      fix: 'Choose a whole number of tokens, at least 2.',
    });
  }
  const examples: TokenizedExample[] = [];
  const lines: number[] = [];
  const rejected = [...dataset.rejected];
  const lengths: number[] = [];
  let truncated = 0;
  let mergedBoundaries = 0;
  for (const [i, { line, content }] of dataset.rows.entries()) {
    if (i % 256 === 0) onProgress?.(i, dataset.rows.length);
    const row = encodeRow(content, options);
    const reason = typeof row === 'string' ? row : unusable(row, maxLength, vocabSize);
    if (typeof row === 'string' || reason !== undefined) {
      rejected.push({ line, reason: reason ?? '' });
      continue;
    }
    lengths.push(row.inputIds.length);
    if (row.inputIds.length > maxLength) truncated++;
    if (row.mergedBoundary) mergedBoundaries++;
    examples.push({ inputIds: row.inputIds.slice(0, maxLength), labels: row.labels.slice(0, maxLength) });
    lines.push(line);
  }
  onProgress?.(dataset.rows.length, dataset.rows.length);
  if (examples.length === 0) throw nothingTrained(rejected);
  rejected.sort((a, b) => a.line - b.line);
  lengths.sort((a, b) => a - b);
  return {
    examples,
    lines,
    rejected,
    stats: {
      rows: examples.length,
      rejected: rejected.length,
      tokens: examples.reduce((sum, example) => sum + example.inputIds.length, 0),
      trainedTokens: examples.reduce((sum, example) => sum + trainedTokens(example.labels), 0),
      p50Length: percentile(lengths, 0.5),
      p95Length: percentile(lengths, 0.95),
      maxLength: lengths.at(-1) ?? 0,
      truncated,
      duplicates: dataset.duplicates,
      mergedBoundaries,
    },
  };
}

/** How many tokens the model is trained to predict: the labels but the first, which nothing comes before. */
export function trainedTokens(labels: readonly number[]): number {
  return labels.reduce((count, label, i) => (i > 0 && label !== IGNORED_LABEL ? count + 1 : count), 0);
}

/** Why a row cannot be an example, if so. */
function unusable(
  { inputIds, labels }: EncodedRow,
  maxLength: number,
  vocabSize: number,
): string | undefined {
  for (const [name, ids] of [
    ['token', inputIds],
    ['label', labels],
  ] as const) {
    const beyond = ids.find((id) => id >= vocabSize);
    if (beyond !== undefined) {
      return `the ${name} ${String(beyond)} is beyond the model's vocabulary of ${String(vocabSize)} tokens`;
    }
  }
  if (trainedTokens(labels.slice(0, maxLength)) > 0) return undefined;
  return trainedTokens(labels) > 0
    ? `nothing is trained: the row has ${String(inputIds.length)} tokens, and what is trained lies after the first ${String(maxLength)}`
    : 'nothing is trained: the row has no token to predict';
}

/** The smallest length that so many of the rows do not exceed. */
function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

function nothingTrained(rejected: readonly RejectedRow[]): StudioError {
  const counts = new Map<string, { count: number; line: number }>();
  for (const { line, reason } of rejected) {
    const known = counts.get(reason);
    counts.set(reason, known === undefined ? { count: 1, line } : { ...known, count: known.count + 1 });
  }
  const [reason, { count, line }] = [...counts].reduce((best, entry) =>
    entry[1].count > best[1].count ? entry : best,
  );
  const others = count === rejected.length ? '' : ` (${String(count)} rows; the others for other reasons)`;
  return new StudioError({
    code: 'DATA_NOTHING_TRAINED',
    message: `Nothing would be trained: all ${String(rejected.length)} rows are left out. Line ${String(line)}: ${reason}${others}.`,
    fix: 'Correct the rows, raise the maximum length, or train on all tokens.',
  });
}
