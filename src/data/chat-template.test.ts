import { describe, expect, it } from 'vitest';
import { compileChatTemplate, loadChatTemplate, type ChatTemplate } from './chat-template.ts';
import { chats, embedded, message, studioErrorOf, type ChatCase } from './testing.ts';

const now = new Date(chats.now);
const tokens = { bos_token: '<s>', eos_token: '</s>', pad_token: '<|endoftext|>' };
const user = [{ role: 'user', content: 'Hi' }];

function rendered(cases: ChatCase[], template: ChatTemplate | undefined) {
  return cases.map(({ template: name, conversation }) => {
    const messages = (chats.conversations[conversation] ?? []).map(message);
    try {
      const text = template?.render(messages);
      return { name, conversation, text, prompt: template?.render(messages, { addGenerationPrompt: true }) };
    } catch (error) {
      return { name, conversation, error: String(error) };
    }
  });
}

/** The goldens in the same form; Python's words of an error are part of ours. */
function expected(cases: ChatCase[]) {
  return cases.map(({ template: name, conversation, text, prompt, error }) =>
    error === undefined
      ? { name, conversation, text, prompt }
      : { name, conversation, error: refusal(error) },
  );
}

function refusal(words: string): string {
  return `StudioError: The chat template refuses the conversation: ${words}`;
}

describe('compileChatTemplate renders as transformers', () => {
  it.each(Object.entries(chats.templates))('with the template %s', (name, source) => {
    const cases = chats.byteBpe.filter((entry) => entry.template === name);
    expect(cases.length).toBe(Object.keys(chats.conversations).length);
    expect(rendered(cases, compileChatTemplate(source, tokens, now))).toEqual(expected(cases));
  });

  it('with the embedded model', () => {
    const template = loadChatTemplate({ ...embedded, chatTemplate: embedded.template }, now);
    expect(rendered(chats.embedded, template)).toEqual(expected(chats.embedded));
  });
});

describe('compileChatTemplate', () => {
  const compile = (source: string) => compileChatTemplate(source, tokens, now);

  it('shows the message as transformers does: no empty fields, the reasoning under its usual names', () => {
    const template = compile('{{ messages | tojson }} {{ messages[0].content is defined }}');
    const text = template.render([
      { role: 'assistant', content: null, extra: { name: null, reasoning: 'r', tool_calls: [{ id: 1 }] } },
    ]);
    const seen =
      '[{"thinking": "r", "role": "assistant", "reasoning": "r", "tool_calls": [{"id": 1}], "reasoning_content": "r"}] False';
    expect(text).toBe(seen.replace('False', 'false'));
  });

  it('puts the marks where the generation tags stand', () => {
    const template = compile(
      '{% for m in messages %}a{% generation %}b{{ m.content }}{% endgeneration %}c{% endfor %}',
    );
    expect(template.marksTurns).toBe(true);
    expect(template.render(user)).toBe('abHic');
    expect(template.render(user, { marks: { start: '<', end: '>' } })).toBe('a<bHi>c');
    expect(compile('{{ messages }}').marksTurns).toBe(false);
  });

  it('reads line ends of Windows as Jinja does', () => {
    expect(compile('a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc').render(user)).toBe('a\nb\nc');
  });

  it('refuses a template that is no template', () => {
    const { code, message: text } = studioErrorOf(() => compile('{% for m in %}'));
    expect(code).toBe('TEMPLATE_INVALID');
    expect(text).toContain('cannot be read');
    expect(studioErrorOf(() => compile('x'.repeat(1024 * 1024 + 1))).code).toBe('TEMPLATE_INVALID');
  });

  it("hands on the template's own words when it refuses a conversation", () => {
    const { code, message: text } = studioErrorOf(() =>
      compile("{{ raise_exception('No ' + messages[0].role) }}").render(user),
    );
    expect({ code, text }).toEqual({
      code: 'TEMPLATE_REFUSED',
      text: 'The chat template refuses the conversation: No user',
    });
  });

  it.each([
    '{{ 1.5.strip() }}',
    '{{ messages.strip() }}',
    '{% for i in range(9999999) %}{% endfor %}',
    '{{ none() }}',
  ])('reports the failure of %s', (source) => {
    const { code, message: text } = studioErrorOf(() => compile(source).render(user));
    expect(code).toBe('TEMPLATE_REFUSED');
    expect(text).toContain('fails on the conversation');
  });
});

describe('loadChatTemplate', () => {
  const load = (config: object, chatTemplate?: string) =>
    loadChatTemplate({ tokenizerConfig: JSON.stringify({ ...tokens, ...config }), chatTemplate }, now);

  it('prefers chat_template.jinja to the config', () => {
    expect(load({ chat_template: 'config' }, 'file')?.render(user)).toBe('file');
    expect(load({ chat_template: 'config{{ eos_token }}' })?.render(user)).toBe('config</s>');
    expect(load({})).toBeUndefined();
  });

  it('takes the default of several templates', () => {
    const named = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ];
    expect(load({ chat_template: named })?.render(user)).toBe('plain');
    expect(load({ chat_template: { default: 'from a map' } })?.render(user)).toBe('from a map');
    const { code, message: text } = studioErrorOf(() => load({ chat_template: named.slice(0, 1) }));
    expect(code).toBe('TEMPLATE_INVALID');
    expect(text).toContain('it has: tool_use');
  });
});
