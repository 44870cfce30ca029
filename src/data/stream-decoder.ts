/** Decodes tokens one by one while they are generated: a character whose bytes are not complete yet is held back. */
import type { DecodeOptions, TextTokenizer } from './tokenizer.ts';

export interface StreamDecoder {
  /** The text that this token completes; empty while a character is incomplete. */
  push(id: number): string;
  /** The rest: U+FFFD where the last character was never completed. */
  flush(): string;
}

/** A decoder for one stream of tokens; the pieces joined are what `decode` gives for all of them. */
export function createStreamDecoder(
  tokenizer: TextTokenizer,
  { skipSpecialTokens = false }: DecodeOptions = {},
): StreamDecoder {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  let toStrip = tokenizer.stripStart;
  const strip = (text: string): string => {
    let at = 0;
    while (at < toStrip && text[at] === ' ') at++;
    // Only the very start of the text is stripped: anything else ends it.
    toStrip = at < text.length ? 0 : toStrip - at;
    return text.slice(at);
  };
  return {
    push: (id) => {
      if (skipSpecialTokens && tokenizer.addedToken(id)?.special === true) return '';
      return strip(utf8.decode(tokenizer.tokenBytes(id), { stream: true }));
    },
    flush: () => strip(utf8.decode()),
  };
}
