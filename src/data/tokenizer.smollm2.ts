// The tokenizer, the chat template and real data of SmolLM2-135M-Instruct against transformers (see vitest.smollm2.config.ts).
import { describe, expect, it } from 'vitest';
import chatTemplate from '@smollm2/chat_template.jinja?raw';
import tokenizerConfig from '@smollm2/tokenizer_config.json?raw';
import tokenizerJson from '@smollm2/tokenizer.json?raw';
import gsm8k from '@shared/data/gsm8k-400.jsonl?raw';
import smollm2Goldens from './fixtures/smollm2-goldens.json?raw';
import { loadChatTemplate } from './chat-template.ts';
import { encodeDataset } from './encode.ts';
import { readDataset } from './read-dataset.ts';
import { chats, message, tokenizers, type ChatCase, type EncodedText } from './testing.ts';
import { loadTokenizer } from './tokenizer.ts';

interface Goldens {
  rows: EncodedText[];
  eosId: number;
  bosId: number;
  padId: number;
  size: number;
  chats: ChatCase[];
  gsm8k: { promptLength: number; ids: number[] }[];
}

const goldens = JSON.parse(smollm2Goldens) as Goldens;
const tokenizer = loadTokenizer({ tokenizerJson, tokenizerConfig });
const template = loadChatTemplate({ tokenizerConfig, chatTemplate }, new Date(chats.now));
const options = {
  tokenizer,
  template,
  trainOn: 'completion',
  chat: false,
  maxLength: 128,
  vocabSize: 49152,
} as const;

describe('SmolLM2 as in transformers', () => {
  it.each(tokenizers.texts.map((text, i) => [text, goldens.rows[i]] as const))('%j', (text, want) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    expect(ids).toEqual(want?.ids);
    expect(tokenizer.decode(ids)).toBe(want?.decoded);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(want?.skipped);
  });

  it('has the same special tokens', () => {
    const { eosId, bosId, padId, vocabSize } = tokenizer;
    const { eosId: eos, bosId: bos, padId: pad, size } = goldens;
    expect({ eosId, bosId, padId, vocabSize }).toEqual({
      eosId: eos,
      bosId: bos,
      padId: pad,
      vocabSize: size,
    });
  });

  it.each(goldens.chats)('chat: $conversation', ({ conversation, text, prompt, ids, mask }) => {
    const messages = (chats.conversations[conversation] ?? []).map(message);
    expect(template?.render(messages)).toBe(text);
    expect(template?.render(messages, { addGenerationPrompt: true })).toBe(prompt);
    const turns = messages.map(({ role, content, extra }) => ({ ...extra, role, content }));
    const file = new TextEncoder().encode(JSON.stringify({ messages: turns }));
    const dataset = readDataset('chat.jsonl', file);
    const { examples } = encodeDataset(dataset, {
      ...options,
      trainOn: mask?.includes(1) ? 'completion' : 'all',
    });
    const labels = ids?.map((id, i) => (!mask?.includes(1) || mask[i] === 1 ? id : -100));
    expect(examples).toEqual([{ inputIds: ids, labels }]);
  });
});

describe('GSM8K', () => {
  const dataset = readDataset('gsm8k-400.jsonl', new TextEncoder().encode(gsm8k));

  it('gives the rows of transformers', () => {
    const { examples } = encodeDataset(dataset, { ...options, maxLength: 4096 });
    const want = goldens.gsm8k.map(({ promptLength, ids }) => ({
      inputIds: ids,
      labels: ids.map((id, i) => (i < promptLength ? -100 : id)),
    }));
    expect(examples.slice(0, want.length)).toEqual(want);
  });

  it('is read whole, cut to 128 tokens, and left out where the cut leaves nothing to train', () => {
    const { format, rows, rejected } = dataset;
    expect([format, rows.length, rejected.length]).toEqual(['prompt-completion', 400, 0]);
    const { stats, rejected: out } = encodeDataset(dataset, options);
    expect(stats.rows + out.length).toBe(400);
    expect(stats.truncated).toBeGreaterThan(100);
    expect(out.every(({ reason }) => reason.endsWith('after the first 128'))).toBe(true);
  });
});
