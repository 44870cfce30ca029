import { expect, test } from 'vitest';
import type { StudioError } from '../errors.ts';
import { prepareData } from './prepare-data.ts';
import { demoFile, openTiny, PREPARE, rowsFile } from './testing.ts';

const model = await openTiny();
const chat = (user: string, assistant: string): object => ({
  messages: [
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ],
});

test('prepares a demo set with its account', () => {
  const { train, evaluation, summary } = prepareData(demoFile('pirate.jsonl'), model, PREPARE);
  expect(train).toHaveLength(160);
  expect(evaluation).toEqual([]);
  expect(summary).toMatchObject({
    name: 'pirate.jsonl',
    format: 'conversations (messages)',
    rows: 160,
    trainRows: 160,
    evalRows: 0,
    rejected: [],
    evalRejected: [],
    maxLength: 512,
    notes: [],
  });
  expect(summary.samplePrompt).toBe('What is the school like?');
  expect(summary.tokens).toBe(train.reduce((sum, { inputIds }) => sum + inputIds.length, 0));
});

test('previews rows as the training sees them', () => {
  const { summary } = prepareData(demoFile('pirate.jsonl'), model, PREPARE);
  const [first] = summary.preview;
  expect(summary.preview).toHaveLength(5);
  expect(first?.filter(({ trained }) => trained).map(({ text }) => text)).toEqual([
    'Arr, matey! The school is bright and full of children. Shiver me timbers!<|im_end|>',
  ]);
  // Adjoining pieces of the same kind are joined.
  expect(first?.map(({ trained }) => trained)).toEqual([false, true, false]);
});

test('splits rows off by the seed', () => {
  const split = (seed: number): string =>
    JSON.stringify(
      prepareData(demoFile('pirate.jsonl'), model, { ...PREPARE, evalSplit: 0.05, seed }).evaluation,
    );
  const { train, evaluation, summary } = prepareData(demoFile('pirate.jsonl'), model, {
    ...PREPARE,
    evalSplit: 0.05,
  });
  expect([train.length, evaluation.length]).toEqual([152, 8]);
  expect(summary).toMatchObject({ rows: 160, trainRows: 152, evalRows: 8 });
  expect(split(0)).toBe(split(0));
  expect(split(1)).not.toBe(split(0));
});

test('evaluates on a file of its own instead, and tells what it left out of it', () => {
  const evaluation = rowsFile('eval.jsonl', [chat('What?', 'That.'), { messages: [] }]);
  const data = prepareData({ ...demoFile('pirate.jsonl'), evaluation }, model, {
    ...PREPARE,
    evalSplit: 0.5,
  });
  expect([data.train.length, data.evaluation.length]).toEqual([160, 1]);
  expect(data.summary.evalRejected.map(({ line }) => line)).toEqual([2]);
});

test('cuts rows to the positions of the model, and says so', () => {
  const file = rowsFile('long.jsonl', [{ text: 'The cat sat. '.repeat(400) }]);
  const { train, summary } = prepareData(file, model, { ...PREPARE, maxLength: 4096 });
  expect(train[0]?.inputIds).toHaveLength(512);
  expect(summary).toMatchObject({ maxLength: 512, truncated: 1 });
  expect(summary.notes).toEqual(['The model has 512 positions, so the maximum length is 512.']);
});

test.each([
  [
    'text',
    { text: 'one two three four five six seven eight nine ten' },
    'one two three four five six seven eight',
  ],
  ['prompt and completion', { prompt: ' Ask: ', completion: 'Yes.' }, 'Ask:'],
  ['Alpaca', { instruction: 'Add.', input: '1 2', output: '3' }, 'Add.\n\n1 2'],
  ['token ids', { input_ids: [4, 5, 6], labels: [-100, -100, 6] }, undefined],
])('finds a sample prompt in rows of %s', (_name, row, expected) => {
  const { summary } = prepareData(rowsFile('rows.jsonl', [row]), model, PREPARE);
  expect(summary.samplePrompt).toBe(expected ?? model.tokenizer.decode([4, 5]).trim());
});

test.each([
  ['empty data', '', 'DATA_EMPTY'],
  ['rows of no known kind', '{"a": 1}', 'DATA_FORMAT'],
  ['rows that train nothing', '{"input_ids": [1, 2], "labels": [-100, -100]}', 'DATA_NOTHING_TRAINED'],
])('refuses %s', (_name, text, code) => {
  const file = { name: 'rows.jsonl', bytes: new TextEncoder().encode(text) };
  expect(() => prepareData(file, model, PREPARE)).toThrowError(
    expect.objectContaining({ code, fix: expect.stringMatching(/./) as string }) as StudioError,
  );
});
