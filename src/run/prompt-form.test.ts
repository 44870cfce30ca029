import { describe, expect, it } from 'vitest';
import { promptForm, putQuestion } from './prompt-form.ts';

describe('promptForm', () => {
  it('follows the rows: conversations stay chats, plain rows stay plain unless they are wrapped', () => {
    expect(promptForm('messages', false)).toBe('chat');
    expect(promptForm('sharegpt', false)).toBe('chat');
    expect(promptForm('prompt-completion', false)).toBe('plain');
    expect(promptForm('prompt-completion', true)).toBe('chat');
    expect(promptForm('alpaca', false)).toBe('alpaca');
    expect(promptForm('alpaca', true)).toBe('chat');
    expect(promptForm('text', true)).toBe('plain');
  });
});

describe('putQuestion', () => {
  it('leaves the chat template to the model and frames an instruction as Alpaca does', () => {
    expect(putQuestion('Why?', 'chat')).toEqual({ prompt: 'Why?', raw: false });
    expect(putQuestion('Why?', 'plain')).toEqual({ prompt: 'Why?', raw: true });
    const { prompt, raw } = putQuestion('Why?', 'alpaca');
    expect(raw).toBe(true);
    expect(prompt).toMatch(/### Instruction:\nWhy\?\n\n### Response:\n$/);
  });
});
