import { describe, expect, it } from 'vitest';
import { assistantSpans } from './assistant-spans.ts';
import { compileChatTemplate, loadChatTemplate, type ChatTemplate } from './chat-template.ts';
import { chats, embedded, loadVariant, message, studioErrorOf, type ChatCase } from './testing.ts';
import { tokensInSpans } from './token-spans.ts';
import { loadTokenizer, type TextTokenizer } from './tokenizer.ts';

const now = new Date(chats.now);
const tokens = { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' };

/** The ids and the mask of a conversation, or the reason why there is none. */
function masked(tokenizer: TextTokenizer, template: ChatTemplate, conversation: string) {
  const messages = (chats.conversations[conversation] ?? []).map(message);
  const added = tokenizer.addedTokens.map(({ content }) => content);
  const found = assistantSpans(template, messages, added);
  if ('reason' in found) return { mask: null, reason: found.reason };
  const ids = tokenizer.encode(found.text, { addSpecialTokens: false });
  return { ids, mask: tokensInSpans(tokenizer, found.text, ids, found.spans)?.map(Number) };
}

/** Cases with an assistant turn that the template accepts. */
function usable(cases: ChatCase[]): ChatCase[] {
  return cases.filter((entry) => entry.error === undefined && entry.conversation !== 'open');
}

describe('assistantSpans gives the masks of transformers', () => {
  const byteBpe = loadVariant('gpt2');
  it.each(usable(chats.byteBpe))('$template: $conversation', ({ template, conversation, ids, mask }) => {
    const source = chats.templates[template] ?? '';
    const got = masked(byteBpe, compileChatTemplate(source, tokens, now), conversation);
    expect(got).toMatchObject(mask === null ? { mask } : { ids, mask });
  });

  const words = loadVariant('llama');
  it.each(usable(chats.sentencepiece))(
    'sentencepiece, $template: $conversation',
    ({ template, conversation, ids, mask }) => {
      const source = chats.templates[template] ?? '';
      const got = masked(words, compileChatTemplate(source, tokens, now), conversation);
      expect(got).toMatchObject(mask === null ? { mask } : { ids, mask });
    },
  );

  const template = loadChatTemplate({ ...embedded, chatTemplate: embedded.template }, now);
  const own = loadTokenizer(embedded);
  it.each(usable(chats.embedded))('the embedded model: $conversation', ({ conversation, ids, mask }) => {
    if (template === undefined) throw new Error('no template');
    expect(masked(own, template, conversation)).toMatchObject({ ids, mask });
  });
});

describe('assistantSpans', () => {
  const compile = (source: string) => compileChatTemplate(source, tokens, now);
  const chatml = compile(chats.templates['chatml'] ?? '');
  const turn = (role: string, content: string) => ({ role, content });
  const trained = (
    template: ChatTemplate,
    messages: ReturnType<typeof turn>[],
    from = 0,
  ): string[] | string => {
    const found = assistantSpans(template, messages, ['<|im_end|>', '</s>', '</s>!'], from);
    return 'reason' in found
      ? found.reason
      : found.spans.map(({ start, end }) => found.text.slice(start, end));
  };
  const two = [turn('user', 'a'), turn('assistant', 'b'), turn('user', 'c'), turn('assistant', 'd')];

  it('leaves out the turns before the one asked for', () => {
    expect(trained(chatml, two, 2)).toEqual(['d<|im_end|>']);
    // The tags of this template enclose a line break, too.
    expect(trained(compile(chats.templates['generation'] ?? ''), two, 2)).toEqual(['d<|im_end|>\n']);
    expect(trained(chatml, two)).toEqual(['b<|im_end|>', 'd<|im_end|>']);
  });

  it('says when there is nothing to train on', () => {
    expect(trained(chatml, two.slice(0, 1))).toContain('no assistant turn');
    expect(trained(chatml, two.slice(0, 3), 2)).toContain('no assistant turn');
  });

  it('takes a conversation that the assistant opens, and turns of the assistant in a row', () => {
    expect(trained(chatml, two.slice(1))).toEqual(['b<|im_end|>', 'd<|im_end|>']);
    expect(trained(chatml, [turn('assistant', 'x'), turn('assistant', '')])).toEqual([
      'x<|im_end|>',
      '<|im_end|>',
    ]);
  });

  it('keeps text after the last added token, for it is part of the turn', () => {
    const template = compile(
      "{% for m in messages %}{{ m.role + ':' + m.content + '</s>.\\n' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
    );
    expect(trained(template, two.slice(0, 2))).toEqual(['b</s>.\n']);
  });

  it('starts after what the opening and the turn have in common, where the opening says more', () => {
    const source =
      "{% for m in messages %}{{ '[' + m.role + ']' + m.content + '</s>!' }}{% endfor %}{% if add_generation_prompt %}[assistant]<think>{% endif %}";
    expect(trained(compile(source), [turn('user', 'a'), turn('assistant', '<thin air')])).toEqual([
      '<thin air</s>!',
    ]);
  });

  it('gives up on a template that changes earlier turns', () => {
    const last =
      "{% for m in messages %}{{ m.role + ':' + (m.content if loop.last else m.content | length) + '</s>' }}{% endfor %}";
    expect(trained(compile(last.replace('| length', '| upper')), two)).toContain('renders the earlier turns');
    const tagged =
      '{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ messages | length }}';
    expect(trained(compile(tagged), two, 3)).toContain('renders the earlier turns');
  });

  it('gives up on generation tags inside of each other', () => {
    const nested =
      '{% for m in messages %}{% generation %}{% generation %}x{% endgeneration %}{% endgeneration %}{% endfor %}';
    expect(trained(compile(nested), two)).toContain('do not enclose plain turns');
  });

  it('finds marks that the conversation does not use, and refuses one that uses all', () => {
    const all = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i)).join('');
    const tagged = compile(
      '{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}',
    );
    const content = all.slice(0, 30);
    expect(trained(tagged, [turn('assistant', content)])).toEqual([content]);
    expect(studioErrorOf(() => trained(tagged, [turn('assistant', all)])).code).toBe('DATA_INVALID');
  });
});

describe('tokensInSpans', () => {
  const qwen = loadVariant('qwen');
  const text = 'A<|im_start|>cafe\u0301<|im_end|>\n';

  it('finds spans between added tokens where the tokenizer changes the text', () => {
    const ids = qwen.encode(text);
    const mask = tokensInSpans(qwen, text, ids, [{ start: 13, end: text.length - 1 }]);
    const trained = ids.filter((_, i) => mask?.[i]);
    expect(qwen.decode(trained)).toBe('caf\u00e9<|im_end|>');
  });

  it('gives up where a span then ends inside of a token', () => {
    expect(tokensInSpans(qwen, text, qwen.encode(text), [{ start: 17, end: text.length }])).toBeUndefined();
  });

  it('counts a token that lies half in the span', () => {
    const gpt2 = loadVariant('gpt2');
    const ids = gpt2.encode('and then the other');
    const mask = tokensInSpans(gpt2, 'and then the other', ids, [{ start: 10, end: 11 }]);
    expect(ids.filter((_, i) => mask?.[i]).map((id) => gpt2.tokenText(id))).toEqual([' the']);
  });

  it('lays added tokens that take white space along the text', () => {
    const flags = loadVariant('added-flags');
    const ids = flags.encode('a  <mask> b <right>  c');
    const mask = tokensInSpans(flags, 'a  <mask> b <right>  c', ids, [{ start: 9, end: 11 }]);
    expect(ids.filter((_, i) => mask?.[i]).map((id) => flags.tokenText(id))).toEqual([' b']);
  });
});
