/**
 * Chat templates, rendered as transformers' `apply_chat_template` does. The template comes from the model folder; it
 * is a program of strangers that can only make text.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { StudioError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../formats/strict-json.ts';
import { isObject, shown } from './json.ts';
import { PYTHON_STRINGS, usePythonStrings } from './python-strings.ts';
import { strftime } from './strftime.ts';
import { parseTokenizerConfig } from './tokenizer-config.ts';
import type { ChatMessage } from './types.ts';

/** A cap on hostile input; real templates have a few thousand characters. */
const MAX_TEMPLATE_LENGTH = 1024 * 1024;
const MAX_RANGE = 1_000_000;

export interface RenderOptions {
  /** End with the words that open an assistant turn. */
  addGenerationPrompt?: boolean;
  /** Strings that are put where `{% generation %}` and `{% endgeneration %}` stand; nothing unless given. */
  marks?: { start: string; end: string };
}

export interface ChatTemplate {
  /** The template's text. */
  readonly source: string;
  /** Whether the template itself says what the assistant writes, by `{% generation %}` tags. */
  readonly marksTurns: boolean;
  /** Renders a conversation; throws TEMPLATE_REFUSED with the template's own words when it rejects it. */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/** The texts of the files that may hold a template; undefined where the folder has none. */
export interface ChatTemplateTexts {
  tokenizerConfig: string;
  /** `chat_template.jinja`, which goes before the config's. */
  chatTemplate: string | undefined;
}

/** Loads the model's chat template; undefined when the model has none. `now` is the date for templates that print it. */
export function loadChatTemplate(files: ChatTemplateTexts, now: Date): ChatTemplate | undefined {
  const config = parseTokenizerConfig(files.tokenizerConfig);
  const source = files.chatTemplate ?? selectTemplate(config.chatTemplate);
  return source === undefined ? undefined : compileChatTemplate(source, config.named, now);
}

/** Of several named templates the one called `default`, as in transformers. */
function selectTemplate(value: JsonValue | undefined): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  const entries: [JsonValue | undefined, JsonValue | undefined][] = Array.isArray(value)
    ? value.map((entry) => (isObject(entry) ? [entry['name'], entry['template']] : [undefined, undefined]))
    : isObject(value)
      ? Object.entries(value)
      : [];
  const found = entries.find(([name]) => name === 'default')?.[1];
  if (typeof found === 'string') return found;
  throw templateInvalid(
    `tokenizer_config.json has no chat template named "default" (it has: ${entries.map(([name]) => shown(name)).join(', ') || 'none'})`,
  );
}

/** Compiles the text of a template; `namedTokens` are `bos_token`, `eos_token`, ... as it may print them. */
export function compileChatTemplate(
  source: string,
  namedTokens: Readonly<Record<string, string>>,
  now: Date,
): ChatTemplate {
  if (source.length > MAX_TEMPLATE_LENGTH) {
    throw templateInvalid(`the chat template is ${String(source.length)} characters long`);
  }
  // Jinja reads every line end as \n.
  const lines = source.replaceAll(/\r\n?/g, '\n');
  const marked = markGeneration(lines);
  let program: ReturnType<typeof parse>;
  try {
    program = parse(tokenize(marked, { lstrip_blocks: true, trim_blocks: true }));
    usePythonStrings(program);
  } catch (cause) {
    throw templateInvalid(`the chat template cannot be read: ${messageOf(cause)}`, cause);
  }
  return {
    source,
    marksTurns: marked !== lines,
    render: (messages, { addGenerationPrompt = false, marks } = {}) => {
      const environment = new Environment();
      const variables: Record<string, unknown> = {
        true: true,
        false: false,
        none: null,
        True: true,
        False: false,
        None: null,
        raise_exception: (reason: unknown) => {
          throw new TemplateRaised(String(reason));
        },
        range,
        ...PYTHON_STRINGS,
        // Set here and not left to the library, whose month names follow the language of the host.
        strftime_now: (format: string) => strftime(now, format),
        ...namedTokens,
        messages: messages.map(templateMessage),
        tools: null,
        documents: null,
        add_generation_prompt: addGenerationPrompt,
        [START]: marks?.start ?? '',
        [END]: marks?.end ?? '',
      };
      for (const [name, value] of Object.entries(variables)) environment.set(name, value);
      try {
        const { value } = new Interpreter(environment).run(program);
        return typeof value === 'string' ? value : '';
      } catch (cause) {
        throw new StudioError(
          {
            code: 'TEMPLATE_REFUSED',
            message:
              cause instanceof TemplateRaised
                ? `The chat template refuses the conversation: ${cause.message}`
                : `The chat template fails on the conversation: ${messageOf(cause)}`,
            fix: 'Change the roles or the contents of the conversation to what the model was trained on.',
          },
          { cause },
        );
      }
    },
  };
}

const START = 'lorikeet_turn_start';
const END = 'lorikeet_turn_end';

/**
 * Puts expressions where the generation tags stand, which the library would strip. Each tag becomes a pair of tags
 * around the expression, so that the white space before and after is treated as at the tag itself.
 */
function markGeneration(template: string): string {
  return template.replaceAll(
    /\{%(-?)\s*(end)?generation\s*(-?)%\}/g,
    (_, before: string, end: string | undefined, after: string) =>
      end === undefined
        ? `{%${before} if true %}{{ ${START} }}{% if true ${after}%}`
        : `{%${before} endif %}{{ ${END} }}{% endif ${after}%}`,
  );
}

/** A message as templates see it: without empty fields, and with the reasoning under its usual names. */
function templateMessage({ role, content, extra }: ChatMessage): JsonObject {
  const message: JsonObject = { role };
  if (content !== null) message['content'] = content;
  for (const [key, value] of Object.entries(extra ?? {})) if (value !== null) message[key] = value;
  const reasoning = message['reasoning_content'] ?? message['thinking'] ?? message['reasoning'];
  return reasoning === undefined
    ? message
    : { thinking: reasoning, ...message, reasoning_content: reasoning };
}

/** What the template itself objects to, by `raise_exception`. */
class TemplateRaised extends Error {}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= MAX_RANGE)) throw new Error(`range() has ${String(length)} numbers`);
  return Array.from({ length }, (_, i) => from + i * step);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function templateInvalid(problem: string, cause?: unknown): StudioError {
  return new StudioError(
    {
      code: 'TEMPLATE_INVALID',
      message: `The chat template cannot be used: ${problem}.`,
      fix: 'Get chat_template.jinja or tokenizer_config.json again from the source of the model.',
    },
    { cause },
  );
}
