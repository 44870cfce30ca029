/** Helpers of the tests in this folder: the fixtures that tools/data_goldens.py wrote, with their types. */
import type { JsonObject } from '../formats/strict-json.ts';
import type { ChatMessage } from './types.ts';
import byteBpe from './fixtures/byte-bpe.tokenizer.json?raw';
import chatGoldens from './fixtures/chat-goldens.json?raw';
import sentencepiece from './fixtures/sentencepiece.tokenizer.json?raw';
import tokenizerGoldens from './fixtures/tokenizer-goldens.json?raw';
import embeddedTemplate from '../../public/models/lorikeet-tiny/chat_template.jinja?raw';
import embeddedConfig from '../../public/models/lorikeet-tiny/tokenizer_config.json?raw';
import embeddedTokenizer from '../../public/models/lorikeet-tiny/tokenizer.json?raw';
import { StudioError } from '../errors.ts';
import { loadTokenizer, type TextTokenizer } from './tokenizer.ts';

export interface EncodedText {
  ids: number[];
  /** First and last id when the special tokens are added. */
  special: number[];
  decoded: string;
  skipped: string;
}

interface TokenizerSet {
  name: string;
  base: 'byte-bpe' | 'sentencepiece';
  patch: JsonObject & { model?: JsonObject };
  config: JsonObject;
  eosId: number | null;
  bosId: number | null;
  padId: number | null;
  size: number;
  rows: EncodedText[];
}

export interface TokenizerGoldens {
  texts: string[];
  flagTexts: string[];
  sets: TokenizerSet[];
  embedded: Pick<TokenizerSet, 'eosId' | 'bosId' | 'padId' | 'size' | 'rows'>;
  trl: {
    tokenizer: string;
    rows: { row: Record<string, string>; ids: number[]; mask: number[]; prefix: boolean }[];
  }[];
}

export interface ChatCase {
  template: string;
  conversation: string;
  error?: string;
  text?: string;
  prompt?: string;
  ids?: number[];
  mask?: number[] | null;
}

export type RawMessage = { role: string; content: string } & JsonObject;

export interface ChatGoldens {
  now: string;
  templates: Record<string, string>;
  conversations: Record<string, RawMessage[]>;
  byteBpe: ChatCase[];
  sentencepiece: ChatCase[];
  embedded: ChatCase[];
}

export const tokenizers = JSON.parse(tokenizerGoldens) as TokenizerGoldens;
export const chats = JSON.parse(chatGoldens) as ChatGoldens;
export const embedded = {
  tokenizerJson: embeddedTokenizer,
  tokenizerConfig: embeddedConfig,
  template: embeddedTemplate,
};

const bases = { 'byte-bpe': byteBpe, sentencepiece };

/** The tokenizer file of a variant: the base with whole parts replaced, of `model` single fields. */
export function variantJson(base: keyof typeof bases, patch: TokenizerSet['patch']): string {
  const json = JSON.parse(bases[base]) as JsonObject & { model: JsonObject };
  const { vocab, merges } = json.model;
  const model = { ...json.model, ...patch.model, ...(vocab && merges ? { vocab, merges } : {}) };
  return JSON.stringify({ ...json, ...patch, model });
}

/** Loads one of the tokenizer variants, with another config where given. */
export function loadVariant(name: string, config?: JsonObject): TextTokenizer {
  const set = tokenizers.sets.find((candidate) => candidate.name === name);
  if (set === undefined) throw new Error(`There is no tokenizer variant ${name}.`);
  return loadTokenizer({
    tokenizerJson: variantJson(set.base, set.patch),
    tokenizerConfig: JSON.stringify(config ?? set.config),
  });
}

/** A message of the goldens as our type. */
export function message({ role, content, ...extra }: RawMessage): ChatMessage {
  return Object.keys(extra).length > 0 ? { role, content, extra } : { role, content };
}

/** The fields of the StudioError that `action` throws. */
export function studioErrorOf(action: () => unknown): StudioError {
  try {
    action();
  } catch (error) {
    if (error instanceof StudioError) return error;
    throw error;
  }
  throw new Error('Nothing was thrown.');
}
