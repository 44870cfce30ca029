import { expect, test } from 'vitest';
import type { PreparedSummary } from '../run/prepare-data.ts';
import { reportData } from './data-report.ts';
import { createReporter } from './progress.ts';

const SUMMARY: PreparedSummary = {
  name: 'rows.jsonl',
  format: 'plain text (text)',
  rows: 1200,
  trainRows: 1140,
  evalRows: 60,
  rejected: [],
  evalRejected: [],
  truncated: 0,
  duplicates: 0,
  tokens: 40_000,
  trainedTokens: 39_000,
  p50: 30,
  p95: 60,
  longest: 90,
  maxLength: 512,
  ignoredFields: [],
  preview: [],
  samplePrompt: '',
  notes: [],
};

function lines(summary: Partial<PreparedSummary>, evalName: string | null = null): string[] {
  let written = '';
  const report = createReporter({ quiet: false }, { write: (text) => (written += text) });
  reportData(report, { ...SUMMARY, ...summary }, evalName);
  return written.trimEnd().split('\n');
}

const rejected = (count: number): PreparedSummary['rejected'] =>
  Array.from({ length: count }, (_, index) => ({ line: index + 1, reason: 'no text' }));

test('a plain file is one line', () => {
  expect(lines({})).toEqual([
    'Data: rows.jsonl, plain text (text): 1,140 rows, 60 to evaluate; 39,000 of 40,000 tokens count',
  ]);
});

test('everything odd is told', () => {
  expect(
    lines(
      {
        evalRows: 0,
        rejected: rejected(1),
        evalRejected: rejected(2),
        truncated: 3,
        duplicates: 4,
        ignoredFields: ['id', 'source'],
        notes: ['A note.'],
      },
      'eval.jsonl',
    ).slice(1),
  ).toEqual([
    'rows.jsonl:1: left out: no text',
    'eval.jsonl:1: left out: no text',
    'eval.jsonl:2: left out: no text',
    '3 rows are cut to 512 tokens',
    '4 rows say what an earlier row says; they are kept',
    'Not used: id, source',
    'A note.',
  ]);
});

test('very many rejected rows are counted behind the first fifty', () => {
  const told = lines({ rejected: rejected(1051) });
  expect(told).toHaveLength(52);
  expect(told.at(-1)).toBe('rows.jsonl: 1,001 more rows are left out; --json lists them all');
});
