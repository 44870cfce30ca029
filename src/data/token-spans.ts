/** Which tokens of an encoded text touch given spans of its characters. */
import type { Span } from './assistant-spans.ts';
import type { TextTokenizer } from './tokenizer.ts';

const SPACE = 0x20;

/**
 * For each token whether it has a character in one of the spans. Undefined when the tokens cannot be laid along the
 * text, because the tokenizer changed it on the way, and a span does not begin and end between tokens either.
 */
export function tokensInSpans(
  tokenizer: TextTokenizer,
  text: string,
  ids: readonly number[],
  spans: readonly Span[],
): boolean[] | undefined {
  const inside = ids.map(() => false);
  const utf8 = new TextEncoder();
  const bytes = utf8.encode(text);
  const ends = tokenEnds(tokenizer, bytes, ids);
  for (const { start, end } of spans) {
    if (ends === undefined) {
      const first = tokensBefore(tokenizer, text, ids, start);
      const last = tokensBefore(tokenizer, text, ids, end);
      if (first === undefined || last === undefined) return undefined;
      inside.fill(true, first, last);
      continue;
    }
    const from = utf8.encode(text.slice(0, start)).length;
    const to = from + utf8.encode(text.slice(start, end)).length;
    for (let i = 0, tokenStart = 0; i < ids.length && tokenStart < to; i++) {
      const tokenEnd = ends[i] ?? tokenStart;
      if (tokenEnd > from && tokenEnd > tokenStart) inside[i] = true;
      tokenStart = tokenEnd;
    }
  }
  return inside;
}

/**
 * Lays the tokens along the text: the byte at which each one ends. Tokens may have spaces that the text has not (a
 * Llama tokenizer puts one before a word that follows a special token), and added tokens may take white space.
 */
function tokenEnds(
  tokenizer: TextTokenizer,
  text: Uint8Array,
  ids: readonly number[],
): Uint32Array<ArrayBuffer> | undefined {
  const ends = new Uint32Array(ids.length);
  let at = 0;
  const skipSpace = (): void => {
    while (at < text.length && (text[at] ?? 0) <= SPACE) at++;
  };
  for (const [i, id] of ids.entries()) {
    const added = tokenizer.addedToken(id);
    if (added?.lstrip === true) skipSpace();
    for (const byte of tokenizer.tokenBytes(id)) {
      if (byte === text[at]) at++;
      else if (byte !== SPACE || added !== undefined) return undefined;
    }
    if (added?.rstrip === true) skipSpace();
    ends[i] = at;
  }
  return at === text.length ? ends : undefined;
}

/** How many tokens the first `length` characters take, if encoding them alone gives the same tokens. */
function tokensBefore(
  tokenizer: TextTokenizer,
  text: string,
  ids: readonly number[],
  length: number,
): number | undefined {
  const prefix = tokenizer.encode(text.slice(0, length), { addSpecialTokens: false });
  return prefix.every((id, i) => id === ids[i]) ? prefix.length : undefined;
}
