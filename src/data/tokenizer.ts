/**
 * Text to token ids and back, with the ids of transformers. Encoding is @huggingface/tokenizers' over an adjusted
 * file (tokenizer-json.ts); decoding goes over the bytes of each token, which streaming and previews need anyway.
 */
import { Tokenizer } from '@huggingface/tokenizers';
import { StudioError } from '../errors.ts';
import { bytesOfToken } from './byte-alphabet.ts';
import { parseTokenizerConfig, type TokenizerConfig } from './tokenizer-config.ts';
import { parseTokenizerJson, type AddedToken, type DecoderRule } from './tokenizer-json.ts';

export interface EncodeTextOptions {
  /** Put the tokens around the text that the tokenizer declares, such as `<s>`; true unless said otherwise. */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  skipSpecialTokens?: boolean;
}

/** A loaded tokenizer. */
export interface TextTokenizer {
  /** One more than the largest token id. */
  readonly vocabSize: number;
  readonly bosToken: string | undefined;
  readonly bosId: number | undefined;
  readonly eosToken: string | undefined;
  readonly eosId: number | undefined;
  readonly padToken: string | undefined;
  readonly padId: number | undefined;
  /** `bos_token`, `eos_token`, ... as chat templates see them. */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** Every added token, special or not, such as `<|im_end|>`. */
  readonly addedTokens: readonly AddedToken[];
  encode(text: string, options?: EncodeTextOptions): number[];
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** The text of one token; a part of a character shows as U+FFFD. Empty when the id is unknown. */
  tokenText(id: number): string;
  /** The UTF-8 bytes that one token adds to a text. */
  tokenBytes(id: number): Uint8Array<ArrayBuffer>;
  tokenId(token: string): number | undefined;
  addedToken(id: number): AddedToken | undefined;
  /** Spaces that decoding drops from the start of a text. */
  readonly stripStart: number;
}

/** The files of a model folder that make a tokenizer, as text; undefined where the folder has none. */
export interface TokenizerTexts {
  tokenizerJson: string | undefined;
  tokenizerConfig: string | undefined;
}

/** Loads a tokenizer from the texts of its two files. */
export function loadTokenizer(files: TokenizerTexts): TextTokenizer {
  if (files.tokenizerJson === undefined) throw missing('tokenizer.json');
  if (files.tokenizerConfig === undefined) throw missing('tokenizer_config.json');
  const config = parseTokenizerConfig(files.tokenizerConfig);
  const file = parseTokenizerJson(files.tokenizerJson, config);
  let library: Tokenizer;
  try {
    library = new Tokenizer(file.json, {});
  } catch (cause) {
    throw new StudioError(
      {
        code: 'TOKENIZER_INVALID',
        message: `tokenizer.json cannot be used: ${cause instanceof Error ? cause.message : String(cause)}.`,
        fix: 'Get the file again from the source of the model.',
      },
      { cause },
    );
  }
  return wrap(library, config, file.addedTokens, file.decoder);
}

function wrap(
  library: Tokenizer,
  config: TokenizerConfig,
  addedTokens: readonly AddedToken[],
  rule: DecoderRule,
): TextTokenizer {
  const vocabulary = library.get_vocab();
  const vocabSize = Math.max(-1, ...chunkMaxima([...vocabulary.values()])) + 1;
  const added = new Map(addedTokens.map((token) => [token.id, token]));
  const tokenId = (token: string): number | undefined => library.token_to_id(token);
  const named = config.named;
  const idOf = (token: string | undefined): number | undefined =>
    token === undefined ? undefined : tokenId(token);
  const utf8 = new TextEncoder();
  const bytesCache = new Map<number, Uint8Array<ArrayBuffer>>();

  const byteOf = (token: string): number | undefined => {
    if (rule.kind === 'byte-level' || !rule.byteFallback) return undefined;
    const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    return hex === undefined ? undefined : Number.parseInt(hex, 16);
  };
  const computeBytes = (id: number): Uint8Array<ArrayBuffer> => {
    const token = library.id_to_token(id);
    if (token === undefined) return new Uint8Array(0);
    if (rule.kind === 'byte-level') return bytesOfToken(token) ?? utf8.encode(token);
    const byte = byteOf(token);
    return byte === undefined ? utf8.encode(token.replaceAll(rule.space, ' ')) : Uint8Array.of(byte);
  };
  const tokenBytes = (id: number): Uint8Array<ArrayBuffer> => {
    let bytes = bytesCache.get(id);
    if (bytes === undefined) bytesCache.set(id, (bytes = computeBytes(id)));
    return bytes;
  };
  const decodeWords = (ids: readonly number[], byteFallback: boolean, stripStart: number): string => {
    let text = '';
    let run: number[] = [];
    const endRun = (): void => {
      text += decodeRun(run);
      run = [];
    };
    for (const id of ids) {
      const byte = byteFallback ? byteOf(library.id_to_token(id) ?? '') : undefined;
      if (byte !== undefined) run.push(byte);
      else {
        endRun();
        text += lossyUtf8(tokenBytes(id));
      }
    }
    endRun();
    let strip = 0;
    while (strip < stripStart && text[strip] === ' ') strip++;
    return text.slice(strip);
  };

  return {
    vocabSize,
    bosToken: named.bos_token,
    bosId: idOf(named.bos_token),
    eosToken: named.eos_token,
    eosId: idOf(named.eos_token),
    padToken: named.pad_token,
    padId: idOf(named.pad_token),
    namedTokens: named,
    addedTokens,
    stripStart: rule.kind === 'words' ? rule.stripStart : 0,
    tokenId,
    tokenBytes,
    addedToken: (id) => added.get(id),
    encode: (text, { addSpecialTokens = true } = {}) =>
      // A character without any token, where there is no unknown token either, has no id: it is left out, as in Rust.
      library.encode(text, { add_special_tokens: addSpecialTokens }).ids.filter((id) => Number.isInteger(id)),
    decode: (ids, { skipSpecialTokens = false } = {}) => {
      // Ids beyond the vocabulary (models may have spare rows) have no text.
      const known = ids.filter((id) => library.id_to_token(id) !== undefined);
      const kept = skipSpecialTokens ? known.filter((id) => added.get(id)?.special !== true) : known;
      if (rule.kind === 'words') return decodeWords(kept, rule.byteFallback, rule.stripStart);
      return lossyUtf8(concat(kept.map(tokenBytes)));
    },
    tokenText: (id) => lossyUtf8(tokenBytes(id)),
  };
}

/** A run of byte tokens: its text when it is valid UTF-8 as a whole, else one U+FFFD per byte, as in Rust. */
function decodeRun(run: readonly number[]): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(run));
  } catch {
    return '\ufffd'.repeat(run.length);
  }
}

function lossyUtf8(bytes: Uint8Array<ArrayBuffer>): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Maxima of pieces that are small enough to be spread into a call. */
function chunkMaxima(values: readonly number[]): number[] {
  const maxima: number[] = [];
  for (let i = 0; i < values.length; i += 10_000) maxima.push(Math.max(...values.slice(i, i + 10_000)));
  return maxima;
}

function missing(name: string): StudioError {
  return new StudioError({
    code: 'TOKENIZER_MISSING',
    message: `The model folder has no ${name}.`,
    fix: `Add ${name} to the folder, or choose a folder that has it.`,
  });
}
