import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStreamDecoder } from './stream-decoder.ts';
import { loadVariant } from './testing.ts';
import type { TextTokenizer } from './tokenizer.ts';

function stream(tokenizer: TextTokenizer, ids: readonly number[], skipSpecialTokens = false): string[] {
  const decoder = createStreamDecoder(tokenizer, { skipSpecialTokens });
  return [...ids.map((id) => decoder.push(id)), decoder.flush()];
}

describe('createStreamDecoder', () => {
  const byteLevel = loadVariant('gpt2');
  const words = loadVariant('llama');

  it('holds back a character until its last byte', () => {
    const ids = byteLevel.encode('a\u{1d4fb}b');
    const pieces = stream(byteLevel, ids);
    expect(pieces.join('')).toBe('a\u{1d4fb}b');
    expect(pieces.some((piece) => piece.includes('\ufffd'))).toBe(false);
    expect(pieces.filter((piece) => piece === '').length).toBeGreaterThan(1);
  });

  it('shows an incomplete character at the end as U+FFFD', () => {
    const ids = byteLevel.encode('a\u{1d4fb}').slice(0, -1);
    expect(stream(byteLevel, ids).at(-1)).toBe('\ufffd');
  });

  it('drops the space before the first word of a Llama tokenizer, and no other', () => {
    const pieces = stream(words, words.encode('on  the', { addSpecialTokens: false }));
    expect(pieces.join('')).toBe('on  the');
    expect(pieces[0]?.startsWith(' ')).toBe(false);
  });

  it('leaves out special tokens when asked to', () => {
    const ids = byteLevel.encode('yes<|im_end|>');
    expect(stream(byteLevel, ids).join('')).toBe('yes<|im_end|>');
    expect(stream(byteLevel, ids, true).join('')).toBe('yes');
  });

  it('gives in pieces what decode gives at once, for any text and any byte-level ids', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 });
    fc.assert(
      fc.property(text, (value) => {
        for (const tokenizer of [byteLevel, words]) {
          const ids = tokenizer.encode(value);
          expect(stream(tokenizer, ids).join('')).toBe(tokenizer.decode(ids));
        }
      }),
      { seed: 1, numRuns: 200 },
    );
    const ids = fc.array(fc.nat(byteLevel.vocabSize + 5), { maxLength: 30 });
    fc.assert(
      fc.property(ids, fc.boolean(), (value, skipSpecialTokens) => {
        const whole = byteLevel.decode(value, { skipSpecialTokens });
        expect(stream(byteLevel, value, skipSpecialTokens).join('')).toBe(whole);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
