/**
 * Which characters of a rendered conversation the assistant writes: the content of its turns and their end-of-turn
 * token. The answer comes from the template alone; where the template does not give it, the reason is returned.
 */
import { StudioError } from '../errors.ts';
import type { ChatTemplate } from './chat-template.ts';
import type { ChatMessage } from './types.ts';

export interface Span {
  start: number;
  end: number;
}

export type AssistantSpans = { text: string; spans: Span[] } | { reason: string };

/**
 * Finds the assistant's spans in the rendered conversation. With `{% generation %}` tags they are what the tags
 * enclose; else each turn is what its rendering adds to the rendering of the turns before it.
 * @param addedTokens the tokenizer's added tokens: an end-of-turn token is one of them
 * @param from the first turn that counts; earlier ones are context
 */
export function assistantSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  addedTokens: readonly string[],
  from = 0,
): AssistantSpans {
  if (!messages.some((message, i) => i >= from && message.role === 'assistant')) {
    return { reason: 'the conversation has no assistant turn to train on' };
  }
  const text = template.render(messages);
  return template.marksTurns
    ? taggedSpans(template, messages, text, from)
    : incrementalSpans(template, messages, text, addedTokens, from);
}

/** Private characters that occur nowhere in the conversation or the template: noncharacters of Unicode. */
function unusedMarks(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
): { start: string; end: string } {
  const used = template.source + JSON.stringify(messages);
  const free: string[] = [];
  for (let code = 0xfdd0; code <= 0xfdef && free.length < 2; code++) {
    const mark = String.fromCharCode(code);
    if (!used.includes(mark)) free.push(mark);
  }
  const [start, end] = free;
  if (start === undefined || end === undefined) {
    throw new StudioError({
      code: 'DATA_INVALID',
      message: 'A conversation uses all of the Unicode noncharacters U+FDD0 to U+FDEF.',
      fix: 'Remove these characters from the conversation: they have no meaning in text.',
    });
  }
  return { start, end };
}

/** Cuts the marks out of a text: what they enclosed, or undefined when they are not in pairs, one after another. */
function cutMarks(
  marked: string,
  marks: { start: string; end: string },
): { text: string; spans: Span[] } | undefined {
  let text = '';
  const spans: Span[] = [];
  let open: number | undefined;
  for (const piece of marked.split(new RegExp(`(${marks.start}|${marks.end})`))) {
    if (piece === marks.start) {
      if (open !== undefined) return undefined;
      open = text.length;
    } else if (piece === marks.end) {
      if (open === undefined) return undefined;
      spans.push({ start: open, end: text.length });
      open = undefined;
    } else text += piece;
  }
  return open === undefined ? { text, spans } : undefined;
}

function taggedSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  text: string,
  from: number,
): AssistantSpans {
  const marks = unusedMarks(template, messages);
  const cut = cutMarks(template.render(messages, { marks }), marks);
  if (cut === undefined || cut.text !== text) {
    return { reason: 'the generation tags of the chat template do not enclose plain turns' };
  }
  if (from === 0) return cut;
  const first = messages.findIndex((message, i) => i >= from && message.role === 'assistant');
  const context = prefixLength(template, messages, first, text);
  if (context === undefined) return { reason: CHANGES };
  return { text, spans: cut.spans.filter((span) => span.start >= context) };
}

const CHANGES =
  'the chat template renders the earlier turns of this conversation differently, so it is not known which tokens are the assistant’s';

/** Length of the rendering of the turns before `turn` with the words that open an assistant turn, if `text` begins so. */
function prefixLength(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  turn: number,
  text: string,
): number | undefined {
  const before = tryRender(template, messages.slice(0, turn), true);
  return before !== undefined && text.startsWith(before) ? before.length : undefined;
}

function incrementalSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  text: string,
  addedTokens: readonly string[],
  from: number,
): AssistantSpans {
  // Needed only where the renderings of the single turns do not settle it.
  let contents: Span[] | undefined | null = null;
  const spans: Span[] = [];
  let turn = -1;
  for (const [i, message] of messages.entries()) {
    if (message.role !== 'assistant') continue;
    turn++;
    if (i < from) continue;
    const index = turn;
    const content = (): Span | undefined =>
      (contents === null ? (contents = contentSpans(template, messages, text)) : contents)?.[index];
    const start = turnStart(template, messages, i, text, content);
    const end = turnEnd(template, messages, i, text, content, addedTokens);
    if (start === undefined || end === undefined || end < start) return { reason: CHANGES };
    spans.push({ start, end });
  }
  return { text, spans };
}

/** Where the turn starts: after the opening that the template also writes when it asks for an answer. */
function turnStart(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  turn: number,
  text: string,
  contentOf: () => Span | undefined,
): number | undefined {
  const exact = prefixLength(template, messages, turn, text);
  if (exact !== undefined) return exact;
  const content = contentOf();
  if (content === undefined) return undefined;
  // The opening may say more than a finished turn does, such as "<think>": what both have in common is the opening.
  const before = tryRender(template, messages.slice(0, turn), true);
  const closed = tryRender(template, messages.slice(0, turn), false);
  if (before === undefined || closed === undefined || !text.startsWith(closed)) return undefined;
  let common = closed.length;
  while (common < before.length && before[common] === text[common]) common++;
  return Math.min(common, content.start);
}

/** Where the turn ends: after its end-of-turn token. */
function turnEnd(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  turn: number,
  text: string,
  contentOf: () => Span | undefined,
  addedTokens: readonly string[],
): number | undefined {
  const after = tryRender(template, messages.slice(0, turn + 1), false);
  if (after !== undefined && text.startsWith(after)) return withoutTail(after, addedTokens);
  const content = contentOf();
  if (content === undefined) return undefined;
  // The last turn is rendered in another way than earlier ones (with a thinking block, say). The turn in this text
  // is known by its content, and ends with the token that follows.
  const space = /^\s*/.exec(text.slice(content.end))?.[0].length ?? 0;
  const at = content.end + space;
  const token = longest(addedTokens.filter((candidate) => text.startsWith(candidate, at)));
  return token === undefined ? undefined : at + token.length;
}

/** The length without the white space that follows a final added token: a line break after `<|im_end|>`, say. */
function withoutTail(text: string, addedTokens: readonly string[]): number {
  const trimmed = text.trimEnd();
  return addedTokens.some((token) => trimmed.endsWith(token)) ? trimmed.length : text.length;
}

function longest(strings: readonly string[]): string | undefined {
  return strings.reduce<string | undefined>(
    (best, s) => (best === undefined || s.length > best.length ? s : best),
    undefined,
  );
}

/**
 * Where the contents of the assistant's turns stand in the text, found by rendering with marked contents. Undefined
 * when the template treats a content as more than text, so that the marks change or lose something.
 */
function contentSpans(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  text: string,
): Span[] | undefined {
  const marks = unusedMarks(template, messages);
  const marked = messages.map((message): ChatMessage => {
    if (message.role !== 'assistant' || message.content === null) return message;
    // Inside the outer white space, which many templates trim.
    const [, lead = '', core = '', trail = ''] = /^(\s*)([^]*?)(\s*)$/.exec(message.content) ?? [];
    return { ...message, content: lead + marks.start + core + marks.end + trail };
  });
  const rendered = tryRender(template, marked, false);
  const cut = rendered === undefined ? undefined : cutMarks(rendered, marks);
  const turns = messages.filter((message) => message.role === 'assistant').length;
  return cut !== undefined && cut.text === text && cut.spans.length === turns ? cut.spans : undefined;
}

function tryRender(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  addGenerationPrompt: boolean,
): string | undefined {
  try {
    return template.render(messages, { addGenerationPrompt });
  } catch (error) {
    if (error instanceof StudioError) return undefined;
    throw error;
  }
}
