/** An example as text pieces for people: made from the very ids and labels that are trained. */
import type { TextTokenizer } from './tokenizer.ts';
import { IGNORED_LABEL, type TokenizedExample } from './types.ts';

export interface TokenPiece {
  text: string;
  /** Whether the model is trained to predict it. */
  trained: boolean;
  /** Whether it is a special token, such as `<|im_end|>`. */
  special: boolean;
  /** The token, or the tokens that share a character. */
  ids: number[];
}

/** The pieces of an example, one per token; tokens that share a character are one piece. */
export function tokenView(tokenizer: TextTokenizer, { inputIds, labels }: TokenizedExample): TokenPiece[] {
  const pieces: TokenPiece[] = [];
  let bytes: number[] = [];
  for (const [i, id] of inputIds.entries()) {
    // Nothing comes before the first token, so it is never predicted, whatever its label.
    const trained = i > 0 && (labels[i] ?? IGNORED_LABEL) !== IGNORED_LABEL;
    const added = tokenizer.addedToken(id);
    const own = tokenizer.tokenBytes(id);
    const last = pieces.at(-1);
    const continues = endsInsideCharacter(bytes) && added === undefined && isContinuation(own[0]);
    if (last === undefined || !continues) {
      bytes = [...own];
      pieces.push({ text: text(bytes), trained, special: added?.special === true, ids: [id] });
    } else {
      bytes.push(...own);
      last.text = text(bytes);
      last.trained ||= trained;
      last.ids.push(id);
    }
  }
  const first = pieces[0];
  if (first !== undefined) {
    // The space that a Llama tokenizer puts before a text is not part of it.
    let strip = 0;
    while (strip < tokenizer.stripStart && first.text[strip] === ' ') strip++;
    first.text = first.text.slice(strip);
  }
  return pieces;
}

function text(bytes: readonly number[]): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** Whether UTF-8 bytes end before the last byte of a character. */
function endsInsideCharacter(bytes: readonly number[]): boolean {
  let lead = bytes.length - 1;
  while (lead >= 0 && isContinuation(bytes[lead])) lead--;
  const byte = bytes[lead] ?? 0;
  const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
  return bytes.length - lead < length;
}
