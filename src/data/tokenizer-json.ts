/**
 * Reads `tokenizer.json` and puts it into the form for which @huggingface/tokenizers gives the ids of the Rust library.
 * Parts that the library does not follow exactly are rewritten or refused by name: a wrong id is worse than none.
 */
import { StudioError } from '../errors.ts';
import type { JsonObject, JsonValue } from '../formats/strict-json.ts';
import { isObject, shown, tryParseJson } from './json.ts';
import { exactPreTokenizer } from './pre-tokenizer.ts';
import type { TokenizerConfig } from './tokenizer-config.ts';

/** Caps on hostile input. The largest vocabularies in use have 262,144 tokens, their files 35 MB. */
const MAX_FILE_LENGTH = 128 * 1024 * 1024;
const MAX_TOKEN_ID = 4_000_000;

const NORMALIZERS = ['Sequence', 'Replace', 'Prepend', 'NFC', 'NFD', 'NFKC', 'NFKD'];
const PRE_TOKENIZERS = ['Sequence', 'ByteLevel', 'Digits', 'Split', 'Metaspace'];
const POST_PROCESSORS = ['Sequence', 'ByteLevel', 'TemplateProcessing'];

/** How tokens turn into text. `byteFallback`: tokens such as `<0x0A>` are single bytes. */
export type DecoderRule =
  { kind: 'byte-level' } | { kind: 'words'; space: string; byteFallback: boolean; stripStart: number };

export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  /** The token takes the white space before or after it. */
  lstrip: boolean;
  rstrip: boolean;
}

export interface TokenizerFile {
  /** The adjusted file, for the library. */
  json: JsonObject;
  addedTokens: AddedToken[];
  decoder: DecoderRule;
}

/** Reads the text of `tokenizer.json`; `config` adds what transformers adds from `tokenizer_config.json`. */
export function parseTokenizerJson(text: string, config: TokenizerConfig): TokenizerFile {
  if (text.length > MAX_FILE_LENGTH) throw invalid(`it is ${String(text.length)} characters long`);
  const parsed = tryParseJson(text);
  if ('problem' in parsed) throw invalid(`it is not JSON (${parsed.problem})`);
  const json = parsed.value;
  if (!isObject(json)) throw invalid('it holds no JSON object');

  const vocab = checkModel(json['model']);
  checkParts(json['normalizer'], 'normalizers', NORMALIZERS, 'normalizer');
  checkParts(json['pre_tokenizer'], 'pretokenizers', PRE_TOKENIZERS, 'pre-tokenizer');
  checkParts(json['post_processor'], 'processors', POST_PROCESSORS, 'post-processor');
  const added = allAddedTokens(json['added_tokens'], vocab, config);
  return {
    json: {
      ...json,
      normalizer: json['normalizer'] ?? null,
      pre_tokenizer: exactPreTokenizer(json['pre_tokenizer'] ?? null),
      post_processor: json['post_processor'] ?? null,
      decoder: null,
      added_tokens: added,
    },
    addedTokens: added.map((token) => ({
      id: Number(token['id']),
      content: shown(token['content']),
      special: token['special'] === true,
      lstrip: token['lstrip'] === true,
      rstrip: token['rstrip'] === true,
    })),
    decoder: decoderRule(json['decoder']),
  };
}

function checkModel(model: JsonValue | undefined): JsonObject {
  if (!isObject(model)) throw invalid('it has no "model"');
  const vocab = model['vocab'];
  const isBpe = model['type'] === 'BPE' || (model['type'] === undefined && Array.isArray(model['merges']));
  if (!isBpe) throw unsupported('model', model['type']);
  if (!isObject(vocab)) throw invalid('its vocabulary is no object');
  for (const [token, id] of Object.entries(vocab)) {
    if (!isTokenId(id)) throw invalid(`the token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}`);
  }
  if (!Array.isArray(model['merges'])) throw invalid('its merges are no list');
  const isMerge = (merge: JsonValue): boolean =>
    typeof merge === 'string' ||
    (Array.isArray(merge) && merge.length === 2 && merge.every((part) => typeof part === 'string'));
  if (!model['merges'].every(isMerge)) throw invalid('a merge is no pair of tokens');
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[key]) throw unsupported('BPE', key);
  }
  return vocab;
}

/** Walks one part of the pipeline and refuses what is not computed exactly. */
function checkParts(part: JsonValue | undefined, listKey: string, known: string[], what: string): void {
  if (part === null || part === undefined) return;
  if (!isObject(part) || !known.includes(shown(part['type']))) {
    throw unsupported(what, isObject(part) ? part['type'] : part);
  }
  if (part['type'] === 'Sequence') {
    const list = part[listKey];
    if (!Array.isArray(list)) throw invalid(`its ${what} sequence has no list`);
    for (const inner of list) checkParts(inner, listKey, known, what);
  }
  if (part['type'] === 'Split') {
    const behavior = shown(part['behavior']);
    // With `invert` the matches are the pieces, which is the same thing only where the rest is removed.
    const exact =
      part['invert'] === true ? behavior === 'Removed' : ['Isolated', 'Removed'].includes(behavior);
    if (!exact)
      throw unsupported('Split behavior', part['invert'] === true ? `${behavior}, inverted` : behavior);
  }
}

/**
 * The added tokens of the file, those that only `tokenizer_config.json` lists, and its special tokens that are plain
 * vocabulary so far: transformers adds all of them when it loads the tokenizer.
 */
function allAddedTokens(
  list: JsonValue | undefined,
  vocab: JsonObject,
  config: TokenizerConfig,
): JsonObject[] {
  const tokens: JsonObject[] = [];
  for (const token of Array.isArray(list) ? list : []) {
    if (!isObject(token) || typeof token['content'] !== 'string' || !isTokenId(token['id'])) {
      throw invalid(`an added token is ${shown(token)}`);
    }
    if (token['single_word'] === true) throw unsupported('added token', `${token['content']} (single_word)`);
    if (token['content'] !== '') tokens.push(token);
  }
  const known = new Set(tokens.map((token) => token['content']));
  for (const { id, token } of config.added) {
    const content = token['content'];
    if (known.has(content as string) || id > MAX_TOKEN_ID) continue;
    known.add(content as string);
    tokens.push({ ...token, id });
  }
  for (const content of config.special) {
    const id = Object.hasOwn(vocab, content) ? vocab[content] : undefined;
    if (known.has(content) || id === undefined) continue;
    tokens.push({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    });
  }
  return tokens.map((token) =>
    config.special.includes(shown(token['content'])) ? { ...token, special: true } : token,
  );
}

function decoderRule(decoder: JsonValue | undefined): DecoderRule {
  if (isObject(decoder) && decoder['type'] === 'ByteLevel') return { kind: 'byte-level' };
  if (!isObject(decoder) || decoder['type'] !== 'Sequence' || !Array.isArray(decoder['decoders'])) {
    throw unsupported('decoder', isObject(decoder) ? decoder['type'] : decoder);
  }
  const rule = { kind: 'words' as const, space: '▁', byteFallback: false, stripStart: 0 };
  for (const step of decoder['decoders']) {
    const type = isObject(step) ? step['type'] : undefined;
    if (!isObject(step)) throw unsupported('decoder', step);
    const pattern = step['pattern'];
    if (type === 'ByteLevel' && decoder['decoders'].length === 1) return { kind: 'byte-level' };
    if (
      type === 'Replace' &&
      isObject(pattern) &&
      typeof pattern['String'] === 'string' &&
      step['content'] === ' '
    ) {
      rule.space = pattern['String'];
    } else if (type === 'ByteFallback') rule.byteFallback = true;
    else if (type === 'Strip' && step['content'] === ' ' && step['stop'] === 0)
      rule.stripStart = Number(step['start']);
    else if (type !== 'Fuse') throw unsupported('decoder', type);
  }
  return rule;
}

function isTokenId(id: JsonValue | undefined): boolean {
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= MAX_TOKEN_ID;
}

function invalid(problem: string): StudioError {
  return new StudioError({
    code: 'TOKENIZER_INVALID',
    message: `tokenizer.json cannot be used: ${problem}.`,
    fix: 'Get the file again from the source of the model.',
  });
}

function unsupported(what: string, found: JsonValue | undefined): StudioError {
  return new StudioError({
    code: 'TOKENIZER_INVALID',
    message: `tokenizer.json uses a ${what} that is not supported: ${shown(found)}.`,
    fix: 'Choose a model with a BPE tokenizer, as Llama, SmolLM2, Mistral, Qwen2, Qwen3 and GPT-2 have it.',
  });
}
