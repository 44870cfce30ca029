/**
 * Reads `tokenizer_config.json`: special tokens and chat template. `add_bos_token` and its like are not among them:
 * transformers 5 does not heed them where a `tokenizer.json` says what is put around a text.
 */
import { StudioError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../formats/strict-json.ts';
import { isObject, shown, tryParseJson } from './json.ts';

/** Caps on hostile input; the largest real files are a fifth of this. */
const MAX_CONFIG_LENGTH = 16 * 1024 * 1024;

const NAMED_TOKENS = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;

export interface TokenizerConfig {
  /** `bos_token`, `eos_token`, ... as far as the file names them; chat templates see them by these names. */
  named: Partial<Record<(typeof NAMED_TOKENS)[number], string>>;
  /** All tokens that the file declares special, named or not. */
  special: string[];
  /** Added tokens by id, which the tokenizer file may lack. */
  added: { id: number; token: JsonObject }[];
  /** The chat template or templates, not yet read. */
  chatTemplate: JsonValue | undefined;
}

/** Reads the text of `tokenizer_config.json`. */
export function parseTokenizerConfig(text: string): TokenizerConfig {
  if (text.length > MAX_CONFIG_LENGTH) throw invalid(`it is ${String(text.length)} characters long`);
  const parsed = tryParseJson(text);
  if ('problem' in parsed) throw invalid(`it is not JSON (${parsed.problem})`);
  const config = parsed.value;
  if (!isObject(config)) throw invalid('it holds no JSON object');

  const named: TokenizerConfig['named'] = {};
  for (const name of NAMED_TOKENS) {
    const content = tokenContent(config[name]);
    if (content !== undefined) named[name] = content;
  }
  // GPT-2's own file names no tokens at all: transformers' GPT2Tokenizer has them built in.
  const tokenizerClass = config['tokenizer_class'];
  if (
    named.eos_token === undefined &&
    (tokenizerClass === undefined || /^GPT2Tokenizer(Fast)?$/.test(shown(tokenizerClass)))
  ) {
    named.bos_token ??= '<|endoftext|>';
    named.eos_token = '<|endoftext|>';
    named.unk_token ??= '<|endoftext|>';
  }
  const extra = [config['additional_special_tokens'], config['extra_special_tokens']].flatMap((list) =>
    Array.isArray(list)
      ? list.map(tokenContent)
      : isObject(list)
        ? Object.values(list).map(tokenContent)
        : [],
  );
  return {
    named,
    special: [...new Set([...Object.values(named), ...extra.filter((content) => content !== undefined)])],
    added: addedTokens(config['added_tokens_decoder']),
    chatTemplate: config['chat_template'],
  };
}

/** A token is written as a string, or as an object with its content and flags. */
function tokenContent(value: JsonValue | undefined): string | undefined {
  const content = isObject(value) ? value['content'] : value;
  return typeof content === 'string' && content !== '' ? content : undefined;
}

function addedTokens(value: JsonValue | undefined): TokenizerConfig['added'] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, token]) =>
    /^\d{1,9}$/.test(key) && isObject(token) && tokenContent(token) !== undefined
      ? [{ id: Number(key), token }]
      : [],
  );
}

function invalid(problem: string): StudioError {
  return new StudioError({
    code: 'TOKENIZER_INVALID',
    message: `tokenizer_config.json cannot be used: ${problem}.`,
    fix: 'Get the file again from the source of the model.',
  });
}
