import { expect, test } from 'vitest';
import { encodePrompt } from './encode-prompt.ts';
import { openTiny } from './testing.ts';

const model = await openTiny();
const { template: _, ...rest } = model;
const plain = { ...rest, template: undefined };

test('a text becomes one user turn where the model has a chat template', () => {
  const ids = encodePrompt(model, 'What is a cat?');
  expect(model.tokenizer.decode(ids)).toBe(
    '<|im_start|>user\nWhat is a cat?<|im_end|>\n<|im_start|>assistant\n',
  );
  expect(encodePrompt(model, [{ role: 'user', content: 'What is a cat?' }])).toEqual(ids);
});

test('a raw text, or one for a model without a template, is taken as it is', () => {
  const ids = model.tokenizer.encode('What is a cat?');
  expect(encodePrompt(model, 'What is a cat?', true)).toEqual(ids);
  expect(encodePrompt(plain, 'What is a cat?')).toEqual(ids);
});

test('a conversation needs a template', () => {
  expect(() => encodePrompt(plain, [{ role: 'user', content: 'x' }])).toThrowError(
    expect.objectContaining({ code: 'TEMPLATE_MISSING' }) as Error,
  );
});
