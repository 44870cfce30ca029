import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DATA_LIMITS } from './limits.ts';
import { readDataset } from './read-dataset.ts';
import { studioErrorOf } from './testing.ts';
import type { RowContent } from './types.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const read = (name: string, text: string) => readDataset(name, bytes(text));
const contents = (name: string, text: string): RowContent[] =>
  read(name, text).rows.map((row) => row.content);
const lines = (name: string, text: string): number[] => read(name, text).rows.map((row) => row.line);
const jsonl = (...rows: unknown[]): string => rows.map((row) => JSON.stringify(row)).join('\n');
const errorOf = (name: string, text: string) => studioErrorOf(() => read(name, text)).toFields();

describe('readDataset finds the format', () => {
  const turns = [
    { role: 'user', content: 'q' },
    { role: 'assistant', content: 'a' },
  ];
  it.each([
    ['text', { text: 'a' }, { kind: 'text', text: 'a' }],
    ['messages', { messages: turns }, { kind: 'messages', messages: turns }],
    [
      'prompt-completion',
      { prompt: 'q', completion: 'a' },
      { kind: 'prompt-completion', prompt: 'q', completion: 'a' },
    ],
    [
      'prompt-completion-messages',
      { prompt: turns.slice(0, 1), completion: turns.slice(1) },
      { kind: 'prompt-completion-messages', prompt: turns.slice(0, 1), completion: turns.slice(1) },
    ],
    [
      'alpaca',
      { instruction: 'i', output: 'o' },
      { kind: 'alpaca', instruction: 'i', input: '', output: 'o' },
    ],
    [
      'alpaca',
      { instruction: 'i', input: 'x', output: 'o', text: 'all' },
      { kind: 'alpaca', instruction: 'i', input: 'x', output: 'o' },
    ],
    [
      'sharegpt',
      {
        conversations: [
          { from: 'human', value: 'q' },
          { from: 'gpt', value: 'a' },
        ],
      },
      { kind: 'messages', messages: turns },
    ],
    ['sharegpt', { conversations: turns }, { kind: 'messages', messages: turns }],
    [
      'tokenized',
      { input_ids: [1, 2], labels: [-100, 2] },
      { kind: 'tokenized', inputIds: [1, 2], labels: [-100, 2] },
    ],
  ])('%s', (format, row, content) => {
    const dataset = read('rows.jsonl', jsonl(row));
    expect(dataset).toMatchObject({ format, rows: [{ line: 1, content }], rejected: [] });
    expect(dataset.formatName).not.toBe('');
  });

  it('by the most frequent one, and rejects rows of another', () => {
    const { format, rows, rejected } = read(
      'x.jsonl',
      jsonl(
        { text: 'a' },
        { prompt: 'p', completion: 'c' },
        { prompt: 'q', completion: 'd' },
        { title: 't' },
      ),
    );
    expect(format).toBe('prompt-completion');
    expect(rows.map((row) => row.line)).toEqual([2, 3]);
    expect(rejected).toEqual([
      {
        line: 1,
        reason:
          'the row has another format than the file: plain text (text), not prompts with completions (prompt, completion)',
      },
      {
        line: 4,
        reason:
          'the row has not the columns of prompts with completions (prompt, completion); its columns: title',
      },
    ]);
  });

  it('and names what it found when it knows none', () => {
    expect(errorOf('x.jsonl', jsonl({ question: 'q', answer: 'a' }))).toMatchObject({
      code: 'DATA_FORMAT',
      message: 'x.jsonl has no row in a known format. Line 1: its columns: question, answer.',
    });
    expect(errorOf('x.jsonl', 'no json')).toMatchObject({ code: 'DATA_FORMAT' });
    expect(errorOf('x.jsonl', '3')).toMatchObject({
      message: 'x.jsonl has no row in a known format. Line 1: it is no object.',
    });
  });
});

describe('readDataset reports every row that it cannot use', () => {
  it.each<[string, unknown, string]>([
    ['text', { text: 3 }, '"text" is no text but 3'],
    ['text', { text: ' \n' }, 'the row is empty'],
    ['text', { text: 'a\ud800b' }, 'half of a surrogate pair'],
    ['messages', { messages: 'hi' }, '"messages" is no list of messages'],
    ['messages', { messages: [] }, '"messages" has no messages'],
    ['messages', { messages: ['hi'] }, 'message 1 of "messages" cannot be used: it is no object'],
    ['messages', { messages: [{ content: 'x' }] }, 'it has no role'],
    ['messages', { messages: [{ role: 'user' }] }, 'it has no content'],
    ['messages', { messages: [{ role: 'user', content: 5 }] }, 'its content is no text (5)'],
    ['messages', { messages: [{ role: 'user', content: [{ type: 'image' }] }] }, 'a part that is no text'],
    ['messages', { messages: [{ role: 'user', content: '\udc00' }] }, 'half of a surrogate pair'],
    ['sharegpt', { conversations: [{ from: 'alien', value: 'x' }] }, 'the speaker "alien" is not known'],
    ['prompt-completion-messages', { prompt: [], completion: [] }, '"prompt" has no messages'],
    [
      'prompt-completion-messages',
      { prompt: [{ role: 'user', content: 'x' }], completion: 'text' },
      '"completion" is no list',
    ],
    ['tokenized', { input_ids: [1, 2] }, '"labels" is no list of token ids'],
    ['tokenized', { input_ids: [1, -2], labels: [1, 2] }, '"input_ids" is no list of token ids'],
    ['tokenized', { input_ids: [1, 1.5], labels: [1, 2] }, '"input_ids" is no list of token ids'],
    ['tokenized', { input_ids: [], labels: [] }, 'the row is empty'],
    ['tokenized', { input_ids: [1], labels: [1, 2] }, '"labels" has 2 entries, "input_ids" has 1'],
    ['tokenized', { input_ids: [1], labels: [-1] }, 'only -100 marks'],
    ['tokenized', { input_ids: [1], labels: [1], attention_mask: [0] }, 'the row is padded'],
  ])('%s: %j', (format, row, reason) => {
    const { format: found, rows, rejected } = read('x.jsonl', jsonl(row));
    expect(found).toBe(format);
    expect(rows).toEqual([]);
    expect(rejected).toEqual([{ line: 1, reason: expect.stringContaining(reason) as unknown }]);
  });

  it('with malformed lines, NaN and rows that are too long', () => {
    const text = '{"text":"a"}\n{"text":\n\n{"text": NaN}\n[1]\n{"text":"long"}\n';
    const { rows, rejected } = readDataset('x.jsonl', bytes(text), { ...DATA_LIMITS, rowCharacters: 14 });
    expect(rows.map((row) => row.line)).toEqual([1]);
    expect(rejected.map(({ line }) => line)).toEqual([2, 4, 5, 6]);
    expect(rejected[1]?.reason).toContain('not valid JSON');
    expect(rejected[3]?.reason).toBe('the row has 15 characters, more than 14');
  });

  it('counts rows that it has seen, keeps them, and names columns that it does not use', () => {
    const { rows, duplicates, ignoredFields } = read(
      'x.jsonl',
      jsonl({ text: 'a', id: 1 }, { text: 'b' }, { text: 'a', source: 's' }),
    );
    expect([rows.length, duplicates, ignoredFields]).toEqual([3, 1, ['id', 'source']]);
  });

  it('keeps further fields of messages, joins text parts, and lets a tool call have no content', () => {
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
        name: 'n',
      },
      { role: 'assistant', content: null, tool_calls: [{ id: 1 }] },
    ];
    expect(contents('x.jsonl', jsonl({ messages }))).toEqual([
      {
        kind: 'messages',
        messages: [
          { role: 'user', content: 'ab', extra: { name: 'n' } },
          { role: 'assistant', content: null, extra: { tool_calls: [{ id: 1 }] } },
        ],
      },
    ]);
  });
});

describe('readDataset reads JSON', () => {
  const pretty = '[\n  {\n    "text": "a [ \\" ] {"\n  },\n  { "text": "b" }\n]\n';

  it('as an array, with the line of each row', () => {
    expect(contents('x.json', pretty)).toMatchObject([{ text: 'a [ " ] {' }, { text: 'b' }]);
    expect(lines('x.json', pretty)).toEqual([2, 5]);
    expect(lines('x.jsonl', pretty)).toEqual([2, 5]);
    expect(lines('noextension', pretty)).toEqual([2, 5]);
  });

  it.each(['data', 'train', 'rows'])('as an object with the rows under "%s"', (key) => {
    const text = `{"version": {"data": 1},\n "${key}": [{"text":"a"},\n{"text":"b"}], "more": [] }`;
    expect(lines('x.json', text)).toEqual([2, 3]);
    expect(lines('x.json', JSON.stringify({ [key]: [{ text: 'a' }, { text: 'b' }] }))).toEqual([1, 1]);
  });

  it('as JSON Lines in a .json file, even of one line', () => {
    expect(lines('x.json', '{"text":"a"}\n{"text":"b"}')).toEqual([1, 2]);
    expect(lines('x.json', '{"text":"a"}')).toEqual([1]);
  });

  it('rejects single rows with NaN, a comma too many or text that is no row', () => {
    const { rows, rejected } = read('x.json', '[{"text":"a"},\n{"text":NaN},\n,3,\n{"text":"b"},\n]');
    expect(rows.map((row) => row.line)).toEqual([1, 4]);
    expect(rejected.map(({ line }) => line)).toEqual([2, 3, 3, 5]);
  });

  it.each([
    ['[{"text":"a"}', 'line 1: the [ on this line is never closed'],
    ['[{"text":"a"}]\n\n]', 'line 3: there is text after the end'],
    ['{"data":\n[{"text":"a"}]}\nx', 'line 3: there is text after the end'],
    ['["text"}', 'line 1: there is a } too many'],
    ['[\n{"text":"a}]', 'line 1: the [ on this line is never closed'],
    ['hello', 'DATA_FORMAT'],
  ])('refuses %j', (text, problem) => {
    const { code, message } = errorOf('x.json', text);
    expect(`${code} ${message}`).toContain(problem);
  });

  it('names the keys of an object without rows', () => {
    expect(errorOf('x.json', '{\n"items": [], "n": 1}').message).toBe(
      'x.json holds an object without a list of rows (its keys: items, n).',
    );
  });

  it('gives the same rows as an array and as lines', () => {
    const rows = fc.array(
      fc.record({ text: fc.string({ unit: 'binary', minLength: 1 }).map((text) => `.${text}`) }),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(rows, fc.nat(3), (value, indent) => {
        const wanted = contents('x.jsonl', jsonl(...value));
        expect(wanted.length).toBe(value.length);
        expect(contents('x.json', JSON.stringify(value, null, indent))).toEqual(wanted);
        expect(contents('x.json', JSON.stringify({ rows: value }, null, indent))).toEqual(wanted);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});

describe('readDataset reads CSV', () => {
  it('with quoted cells over several lines, each row with its first line', () => {
    const text = 'prompt,completion\r\n"a, ""b""","c\r\nd"\r\n\r\ne,f\r\n';
    expect(contents('x.csv', text)).toMatchObject([
      { prompt: 'a, "b"', completion: 'c\r\nd' },
      { prompt: 'e', completion: 'f' },
    ]);
    expect(lines('x.csv', text)).toEqual([2, 5]);
  });

  it('with semicolons and tabs', () => {
    const content = { kind: 'prompt-completion', prompt: 'a,b', completion: 'c' };
    expect(contents('x.csv', 'prompt;completion\na,b;c')).toEqual([content]);
    expect(contents('x.tsv', 'prompt\tcompletion\na,b\tc')).toEqual([content]);
  });

  it('with one column, and with lists as JSON', () => {
    expect(contents('x.csv', 'text\nhello; you\n')).toEqual([{ kind: 'text', text: 'hello; you' }]);
    expect(contents('x.csv', 'input_ids,labels\n"[1,2]","[-100,2]"')).toMatchObject([{ labels: [-100, 2] }]);
  });

  it('and rejects rows of another width, with a broken quote or a broken list', () => {
    const { rows, rejected } = read('x.csv', 'prompt,completion\na,b\nc\nd,e,f\ng,"h"i\n');
    expect(rows.map((row) => row.line)).toEqual([2]);
    expect(rejected).toMatchObject([
      { line: 3, reason: 'the row has 1 cells, the header has 2' },
      { line: 4, reason: 'the row has 3 cells, the header has 2' },
      { line: 5 },
    ]);
    expect(read('x.csv', 'input_ids,labels\n[1],[1]\n[,[1]').rejected).toMatchObject([
      { line: 3, reason: expect.stringContaining('"input_ids" is not valid JSON') as unknown },
    ]);
    expect(errorOf('x.csv', 'text,text\na,b')).toMatchObject({
      code: 'DATA_FORMAT',
      message: 'x.csv has the column "text" twice.',
    });
  });
});

describe('readDataset reads plain text', () => {
  it('as one row per paragraph', () => {
    const text = '\n  one\ntwo\n \n\nthree\r\n\r\nfour';
    expect(contents('x.txt', text)).toEqual([
      { kind: 'text', text: '  one\ntwo' },
      { kind: 'text', text: 'three' },
      { kind: 'text', text: 'four' },
    ]);
    expect(lines('x.txt', text)).toEqual([2, 6, 8]);
  });
});

describe('readDataset takes bytes as they come', () => {
  it('with a byte order mark and with line ends of Windows', () => {
    expect(contents('x.jsonl', '\ufeff{"text":"a"}\r\n{"text":"b"}\r\n')).toMatchObject([
      { text: 'a' },
      { text: 'b' },
    ]);
    expect(contents('x.csv', '\ufefftext\r\na\r\n')).toEqual([{ kind: 'text', text: 'a' }]);
    expect(contents('x.json', '\ufeff[{"text":"a"}]')).toEqual([{ kind: 'text', text: 'a' }]);
  });

  it('refuses what is not UTF-8, with the line', () => {
    const broken = new Uint8Array([...bytes('{"text":"a"}\n{"text":"'), 0xff, 0x22, 0x7d]);
    expect(studioErrorOf(() => readDataset('x.jsonl', broken)).toFields()).toMatchObject({
      code: 'DATA_INVALID',
      message: 'x.jsonl is not UTF-8 text: line 2 has a byte that is not.',
    });
  });

  it.each(['x.jsonl', 'x.json', 'x.csv', 'x.txt'])('refuses an empty %s', (name) => {
    expect(errorOf(name, '')).toMatchObject({ code: 'DATA_EMPTY', message: `${name} has no rows.` });
    expect(errorOf(name, ' \n\r\n ')).toMatchObject({ code: 'DATA_EMPTY' });
  });

  it('refuses files without a row', () => {
    expect(errorOf('x.json', '[]').code).toBe('DATA_EMPTY');
    expect(errorOf('x.csv', 'text\n').code).toBe('DATA_EMPTY');
  });

  it('refuses kinds that it does not know', () => {
    expect(errorOf('x.parquet', 'PAR1')).toMatchObject({
      code: 'DATA_FORMAT',
      message: 'x.parquet is of a kind that is not known: .parquet.',
    });
    expect(errorOf('data', 'hello')).toMatchObject({
      code: 'DATA_FORMAT',
      message: 'data is of a kind that is not known.',
    });
  });

  it('refuses too much', () => {
    const two = bytes('{"text":"a"}\n{"text":"b"}');
    const code = (limits: Partial<typeof DATA_LIMITS>) =>
      studioErrorOf(() => readDataset('x.jsonl', two, { ...DATA_LIMITS, ...limits })).code;
    expect(code({ fileBytes: 10 })).toBe('INPUT_TOO_LARGE');
    expect(code({ rows: 1 })).toBe('INPUT_TOO_LARGE');
  });
});
