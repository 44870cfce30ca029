/**
 * Rewrites the pre-tokenizers that @huggingface/tokenizers 0.2.0 computes differently from the Rust library into
 * steps that it computes alike. All are expressed in the file's own vocabulary, so that no class is patched.
 */
import type { JsonObject, JsonValue } from '../formats/strict-json.ts';
import { isObject } from './json.ts';

/** How GPT-2 cuts a text into words; in a Split step `\s` means Unicode's White_Space, as in Rust. */
const WORDS = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** The same pre-tokenizer in steps that give the words of the Rust library. */
export function exactPreTokenizer(part: JsonValue): JsonValue {
  if (!isObject(part)) return part;
  switch (part['type']) {
    case 'Sequence':
      return sequence(
        Array.isArray(part['pretokenizers']) ? part['pretokenizers'].map(exactPreTokenizer) : [],
      );
    case 'Digits':
      // The library sees ASCII digits only; in Rust "½", "²" and "٣" are digits too.
      return isolate(part['individual_digits'] === true ? String.raw`\p{N}` : String.raw`\p{N}+`);
    case 'ByteLevel':
      return sequence([
        ...(part['add_prefix_space'] === true ? [prefixSpace()] : []),
        // The library's own pattern uses JavaScript's \s, which has U+FEFF and lacks U+0085.
        ...(part['use_regex'] === false ? [] : [isolate(WORDS)]),
        { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      ]);
    case 'Metaspace': {
      if (part['split'] === false) return part;
      // The library ignores `split`: every word begins with its space.
      const space = typeof part['replacement'] === 'string' ? part['replacement'] : '▁';
      return sequence([part, isolate(`${space}[^${space}]*|[^${space}]+`)]);
    }
    default:
      return part;
  }
}

function sequence(pretokenizers: JsonValue[]): JsonObject {
  return { type: 'Sequence', pretokenizers };
}

function isolate(regex: string): JsonObject {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}

/** Puts a space before a piece that does not begin with one. */
function prefixSpace(): JsonObject {
  return { type: 'Replace', pattern: { Regex: String.raw`\A([^ ])` }, content: ' $1' };
}
