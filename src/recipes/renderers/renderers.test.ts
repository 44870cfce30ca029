import { describe, expect, it } from 'vitest';
import { ModelInput } from '../../api/model-input.ts';
import type { ApiTokenizer } from '../../api/types.ts';
import { compileChatTemplate } from '../../data/chat-template.ts';
import { encodeRow } from '../../data/encode-row.ts';
import { readDataset } from '../../data/read-dataset.ts';
import { demoFile, openTiny } from '../../run/testing.ts';
import { supervisedDatum, type SupervisedExample } from '../datum.ts';
import { chatTemplate } from './chat-template.ts';
import type { RendererMessage, TrainOnWhat } from './renderer.ts';
import { roleColon } from './role-colon.ts';

const tiny = await openTiny();
const tokenizer: ApiTokenizer = {
  encode: (text) => tiny.tokenizer.encode(text, { addSpecialTokens: false }),
  decode: (tokens) => tiny.tokenizer.decode(tokens),
};
const { template } = tiny;
if (template === undefined) throw new Error('The embedded model has a template.');
const own = chatTemplate({ tokenizer, template, stopTokens: ['<|im_end|>'] });
const colon = roleColon(tokenizer);

const TALK: RendererMessage[] = [
  { role: 'system', content: 'Be kind.' },
  { role: 'user', content: 'What does the fox eat?' },
  { role: 'assistant', content: 'The fox eats berries.' },
  { role: 'user', content: 'And the owl?' },
  { role: 'assistant', content: 'The owl eats mice.', trainable: true },
];

/** The trained pieces of a row as text. */
function trainedText({ modelInput, weights }: SupervisedExample): string[] {
  const pieces: number[][] = [];
  ModelInput.toInts(modelInput).forEach((token, i) => {
    if (weights[i] === 0) return;
    if (i === 0 || weights[i - 1] === 0) pieces.push([]);
    pieces.at(-1)?.push(token);
  });
  return pieces.map((tokens) => tokenizer.decode(tokens));
}

describe('a renderer over the chat template', () => {
  it('makes the rows that the studio trains on', () => {
    const { name, bytes } = demoFile('pirate.jsonl');
    const { rows } = readDataset(name, bytes);
    expect(rows).toHaveLength(160);
    for (const { content } of rows) {
      if (content.kind !== 'messages') throw new Error('The demo rows are conversations.');
      const row = encodeRow(content, {
        tokenizer: tiny.tokenizer,
        template,
        trainOn: 'completion',
        chat: true,
      });
      if (typeof row === 'string') throw new Error(row);
      const { modelInput, weights } = own.buildSupervisedExample(content.messages);
      expect(ModelInput.toInts(modelInput)).toEqual(row.inputIds);
      expect(Array.from(weights)).toEqual(row.labels.map((label) => (label === -100 ? 0 : 1)));
    }
  });

  it.each<[TrainOnWhat, string[]]>([
    ['all_assistant_messages', ['The fox eats berries.<|im_end|>', 'The owl eats mice.<|im_end|>']],
    ['last_assistant_message', ['The owl eats mice.<|im_end|>']],
    ['last_assistant_turn', ['The owl eats mice.<|im_end|>']],
    ['customized', ['The owl eats mice.<|im_end|>']],
    ['all_tokens', [template.render(TALK)]],
  ])('trains on %s', (what, expected) => {
    expect(trainedText(own.buildSupervisedExample(TALK, what))).toEqual(expected);
  });

  it('asks for an answer with the tokens that come before it in training', () => {
    const prompt = ModelInput.toInts(own.buildGenerationPrompt(TALK.slice(0, 4)));
    const { modelInput, weights } = own.buildSupervisedExample(TALK, 'last_assistant_message');
    expect(ModelInput.toInts(modelInput).slice(0, prompt.length)).toEqual(prompt);
    expect(weights.indexOf(1)).toBe(prompt.length);
  });

  it('reads answers', () => {
    const [end] = own.getStopSequences() as number[];
    const tokens = tokenizer.encode('The owl eats mice.');
    expect(own.parseResponse([...tokens, end ?? 0, ...tokens])).toEqual({
      message: { role: 'assistant', content: 'The owl eats mice.' },
      termination: 'stop',
    });
    expect(own.parseResponse(tokens).termination).toBe('cut_off');
  });

  it('refuses what the template does not tell', () => {
    expect(() => own.buildSupervisedExample(TALK, 'all_messages')).toThrow(
      'what of a system message is its text',
    );
    expect(() => own.buildSupervisedExample(TALK.slice(0, 2))).toThrow('nothing to train on');
    expect(() => own.buildSupervisedExample(TALK, 'some' as 'all_tokens')).toThrow('no choice "some"');
    expect(() => chatTemplate({ tokenizer, template, stopTokens: ['the end'] })).toThrow('no single token');
    // Says how many messages there are in front of them, as templates do that drop earlier thoughts.
    const counting = compileChatTemplate(
      '{{ messages | length }}{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}',
      {},
      new Date(0),
    );
    const changing = chatTemplate({ tokenizer, template: counting, stopTokens: ['<|im_end|>'] });
    expect(() => changing.buildSupervisedExample(TALK)).toThrow('message 3 differently once others follow');
  });
});

describe('the role_colon renderer', () => {
  const text =
    'System: Be kind.\n\nUser: What does the fox eat?\n\nAssistant: The fox eats berries.\n\nUser: And the owl?\n\nAssistant: The owl eats mice.\n\nUser:';

  it('writes turns with their roles, and the end of an answer as part of it', () => {
    const example = colon.buildSupervisedExample(TALK);
    expect(tokenizer.decode(ModelInput.toInts(example.modelInput))).toBe(text);
    expect(trainedText(example)).toEqual([' The fox eats berries.\n\nUser:', ' The owl eats mice.\n\nUser:']);
    const prompt = colon.buildGenerationPrompt(TALK.slice(0, 4));
    expect(tokenizer.decode(ModelInput.toInts(prompt))).toBe(text.slice(0, text.indexOf(' The owl eats')));
  });

  it.each<[TrainOnWhat, string[]]>([
    ['last_assistant_message', [' The owl eats mice.\n\nUser:']],
    ['all_user_and_system_messages', [' Be kind.', ' What does the fox eat?', ' And the owl?']],
    ['all_tokens', [text]],
  ])('trains on %s', (what, expected) => {
    expect(trainedText(colon.buildSupervisedExample(TALK, what))).toEqual(expected);
  });

  it('puts the first token in front where the model wants one', () => {
    const example = roleColon(tokenizer, { bosToken: '<|im_start|>' }).buildSupervisedExample(TALK);
    expect(ModelInput.toInts(example.modelInput)[0]).toBe(tokenizer.encode('<|im_start|>')[0]);
    expect(trainedText(example)[0]).toBe(' The fox eats berries.\n\nUser:');
    // Rows become datums whose targets are one ahead.
    const datum = supervisedDatum(example);
    expect(Array.from(datum.lossFnInputs['weights'] as Float32Array)).toEqual(
      Array.from(example.weights.slice(1)),
    );
  });

  it('reads answers to the end of the turn', () => {
    expect(colon.getStopSequences()).toEqual(['\n\nUser:']);
    expect(colon.parseResponse(tokenizer.encode(' The owl eats mice.\n\nUser:'))).toEqual({
      message: { role: 'assistant', content: 'The owl eats mice.' },
      termination: 'stop',
    });
    expect(colon.parseResponse(tokenizer.encode(' The owl'))).toMatchObject({ termination: 'cut_off' });
  });

  it('refuses conversations that it has no form for', () => {
    const twice = [...TALK, { role: 'assistant', content: 'And so on.' }];
    expect(() => colon.buildSupervisedExample(twice)).toThrow("follows the assistant's");
    expect(() => colon.buildGenerationPrompt([{ role: 'user', content: null }])).toThrow('has no text');
  });
});
