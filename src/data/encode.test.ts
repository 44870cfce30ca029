import { describe, expect, it } from 'vitest';
import { compileChatTemplate, loadChatTemplate } from './chat-template.ts';
import { encodeDataset, trainedTokens, type EncodeOptions } from './encode.ts';
import { readDataset } from './read-dataset.ts';
import { chats, embedded, loadVariant, studioErrorOf, tokenizers } from './testing.ts';
import { loadTokenizer } from './tokenizer.ts';
import { tokenView } from './token-view.ts';
import { IGNORED_LABEL, type TokenizedExample } from './types.ts';

const now = new Date(chats.now);
const tokenizer = loadTokenizer(embedded);
const template = loadChatTemplate({ ...embedded, chatTemplate: embedded.template }, now);
const defaults: EncodeOptions = {
  tokenizer,
  template,
  trainOn: 'completion',
  chat: false,
  maxLength: 512,
  vocabSize: tokenizer.vocabSize,
};

function dataset(...rows: unknown[]) {
  return readDataset(
    'rows.jsonl',
    new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join('\n')),
  );
}

function encode(rows: unknown[], options: Partial<EncodeOptions> = {}) {
  return encodeDataset(dataset(...rows), { ...defaults, ...options });
}

/** The text of an example with what is trained in brackets. */
function marked(example: TokenizedExample | undefined): string {
  if (example === undefined) return 'no example';
  const pieces = tokenView(tokenizer, example).map(({ text, trained }) => (trained ? `[${text}]` : text));
  return pieces.join('').replaceAll('][', '');
}

describe('encodeDataset makes rows as TRL does', () => {
  it.each(tokenizers.trl)('with the tokenizer $tokenizer', ({ tokenizer: name, rows }) => {
    const own = loadVariant(name);
    for (const { row, ids, mask, prefix } of rows) {
      if (row['text']?.trim() === '') continue;
      const { examples, stats } = encode([row], { tokenizer: own });
      const labels = ids.map((id, i) => (mask[i] === 1 ? id : IGNORED_LABEL));
      expect(examples).toEqual([{ inputIds: ids, labels }]);
      expect(stats.mergedBoundaries).toBe(prefix ? 0 : 1);
    }
  });
});

describe('encodeDataset trains', () => {
  const row = { prompt: 'What is a fox?', completion: ' An animal.' };
  const messages = [
    { role: 'user', content: 'What is a fox?' },
    { role: 'assistant', content: 'An animal.' },
  ];

  it('completions with the end token', () => {
    expect(marked(encode([row]).examples[0])).toBe('What is a fox?[ An animal.<|im_end|>]');
  });

  it('the turns of the assistant with their end token', () => {
    const text =
      '<|im_start|>user\nWhat is a fox?<|im_end|>\n<|im_start|>assistant\n[An animal.<|im_end|>]\n';
    expect(marked(encode([{ messages }]).examples[0])).toBe(text);
    expect(
      marked(encode([{ prompt: messages.slice(0, 1), completion: messages.slice(1) }]).examples[0]),
    ).toBe(text);
    const sharegpt = {
      conversations: [
        { from: 'human', value: 'What is a fox?' },
        { from: 'gpt', value: 'An animal.' },
      ],
    };
    expect(marked(encode([sharegpt]).examples[0])).toBe(text);
    expect(marked(encode([{ ...row, completion: 'An animal.' }], { chat: true }).examples[0])).toBe(text);
  });

  it('only the turns of the completion, where the prompt has turns of the assistant', () => {
    const prompt = [...messages, { role: 'user', content: 'And a cow?' }];
    const completion = [{ role: 'assistant', content: 'One, too.' }];
    const text = marked(encode([{ prompt, completion }]).examples[0]);
    expect(text).toContain('\nAn animal.<|im_end|>\n');
    expect(text.match(/\[.*?\]/gs)).toEqual(['[One, too.<|im_end|>]']);
  });

  it('Alpaca outputs after the usual prompt', () => {
    const alpaca = { instruction: 'Name it.', input: 'fox', output: 'Fox.' };
    const text = marked(encode([alpaca]).examples[0]);
    expect(text).toContain('further context. Write a response that appropriately completes the request.');
    expect(
      text.endsWith('\n\n### Instruction:\nName it.\n\n### Input:\nfox\n\n### Response:\n[Fox.<|im_end|>]'),
    ).toBe(true);
    const short = marked(encode([{ instruction: 'Sing.', output: 'La.' }]).examples[0]);
    expect(short).toBe(
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nSing.\n\n### Response:\n[La.<|im_end|>]',
    );
    const chat = marked(encode([alpaca], { chat: true }).examples[0]);
    expect(chat).toBe(
      '<|im_start|>user\nName it.\n\nfox<|im_end|>\n<|im_start|>assistant\n[Fox.<|im_end|>]\n',
    );
  });

  it('the whole of a text, but for its first token, which nothing comes before', () => {
    expect(marked(encode([{ text: 'The fox sleeps.' }]).examples[0])).toBe('The[ fox sleeps.<|im_end|>]');
  });

  it('everything, when asked to', () => {
    for (const any of [row, { messages }, { instruction: 'a', output: 'b' }]) {
      const { examples, stats } = encode([any], { trainOn: 'all' });
      expect(examples[0]?.labels).toEqual(examples[0]?.inputIds);
      expect(stats.trainedTokens).toBe(stats.tokens - 1);
    }
    const open = { messages: messages.slice(0, 1) };
    expect(encode([open], { trainOn: 'all' }).examples.length).toBe(1);
  });

  it('token ids as they are', () => {
    const ids = { input_ids: [5, 6, 7], labels: [-100, 9, 7] };
    for (const trainOn of ['completion', 'all'] as const) {
      expect(encode([ids], { trainOn }).examples).toEqual([{ inputIds: [5, 6, 7], labels: [-100, 9, 7] }]);
    }
  });
});

describe('encodeDataset accounts for every row', () => {
  const ids = (length: number, trainedFrom: number) => {
    const inputIds = Array.from({ length }, (_, i) => 100 + i);
    return { input_ids: inputIds, labels: inputIds.map((id, i) => (i < trainedFrom ? -100 : id)) };
  };

  it('cuts long rows and counts them', () => {
    const { examples, lines, stats } = encode([ids(10, 5), ids(4, 2), ids(20, 1), ids(4, 2)], {
      maxLength: 8,
    });
    expect(examples.map(({ inputIds }) => inputIds.length)).toEqual([8, 4, 8, 4]);
    expect(examples[0]?.labels).toEqual([-100, -100, -100, -100, -100, 105, 106, 107]);
    expect(lines).toEqual([1, 2, 3, 4]);
    expect(stats).toEqual({
      rows: 4,
      rejected: 0,
      tokens: 24,
      trainedTokens: 14,
      p50Length: 4,
      p95Length: 20,
      maxLength: 20,
      truncated: 2,
      duplicates: 1,
      mergedBoundaries: 0,
    });
  });

  it('leaves out rows in which nothing is trained, with line and reason', () => {
    const rows = [
      ids(10, 9),
      ids(3, 3),
      ids(1, 0),
      { input_ids: [9999], labels: [9999] },
      { input_ids: [1, 2], labels: [-100, 5000] },
      { text: 'x' },
      ids(4, 1),
    ];
    const { examples, lines, rejected, stats } = encode(rows, { maxLength: 8 });
    expect([examples.length, lines, stats.rejected]).toEqual([1, [7], 6]);
    expect(rejected.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(rejected.map(({ reason }) => reason).slice(0, 5)).toEqual([
      'nothing is trained: the row has 10 tokens, and what is trained lies after the first 8',
      'nothing is trained: the row has no token to predict',
      'nothing is trained: the row has no token to predict',
      "the token 9999 is beyond the model's vocabulary of 4096 tokens",
      "the label 5000 is beyond the model's vocabulary of 4096 tokens",
    ]);
  });

  it('hands on what a template says about a conversation', () => {
    const inst = compileChatTemplate(chats.templates['inst'] ?? '', tokenizer.namedTokens, now);
    const good = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ];
    const { rejected } = encode(
      [{ messages: good }, { messages: good.slice(1) }, { messages: good.slice(0, 1) }],
      { template: inst },
    );
    expect(rejected).toMatchObject([
      { line: 2, reason: expect.stringContaining('Roles must alternate') as unknown },
      { line: 3, reason: 'the conversation has no assistant turn to train on' },
    ]);
  });

  it('reports its progress', () => {
    const seen: number[] = [];
    encode(
      Array.from({ length: 300 }, () => ({ text: 'a b c' })),
      { onProgress: (done) => seen.push(done) },
    );
    expect(seen).toEqual([0, 256, 300]);
  });
});

describe('encodeDataset refuses', () => {
  it('data in which nothing would be trained, with the reason', () => {
    const rows = [
      { input_ids: [1, 2], labels: [-100, -100] },
      { input_ids: [1, 2, 3], labels: [-100, -100, -100] },
      { input_ids: [1], labels: [] },
    ];
    expect(studioErrorOf(() => encode(rows)).toFields()).toMatchObject({
      code: 'DATA_NOTHING_TRAINED',
      message:
        'Nothing would be trained: all 3 rows are left out. Line 1: nothing is trained: the row has no token to predict (2 rows; the others for other reasons).',
    });
    const one = studioErrorOf(() => encode([{ input_ids: [1], labels: [] }]));
    expect([one.code, one.message.endsWith('"input_ids" has 1.')]).toEqual(['DATA_NOTHING_TRAINED', true]);
  });

  it('conversations without a chat template', () => {
    const rows = [{ messages: [{ role: 'assistant', content: 'b' }] }];
    expect(studioErrorOf(() => encode(rows, { template: undefined })).code).toBe('TEMPLATE_MISSING');
  });

  it('text without an end token', () => {
    const none = loadVariant('gpt2', { tokenizer_class: 'PreTrainedTokenizerFast' });
    expect(studioErrorOf(() => encode([{ text: 'a' }], { tokenizer: none })).code).toBe('TOKENIZER_INVALID');
  });

  it('a maximum length that leaves nothing to predict', () => {
    for (const maxLength of [1, 2.5, Number.NaN]) {
      expect(studioErrorOf(() => encode([{ text: 'a' }], { maxLength })).code).toBe('OPTION_INVALID');
    }
  });
});

describe('trainedTokens', () => {
  it('does not count the first token', () => {
    expect(trainedTokens([1, 2, -100, 4])).toBe(2);
    expect(trainedTokens([])).toBe(0);
  });
});
