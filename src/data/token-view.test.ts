import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadVariant } from './testing.ts';
import { tokenView } from './token-view.ts';
import type { TextTokenizer } from './tokenizer.ts';

const byteLevel = loadVariant('gpt2');
const words = loadVariant('llama');

function view(tokenizer: TextTokenizer, text: string, trainedFrom: number) {
  const inputIds = tokenizer.encode(text);
  return tokenView(tokenizer, { inputIds, labels: inputIds.map((id, i) => (i < trainedFrom ? -100 : id)) });
}

describe('tokenView', () => {
  it('shows the tokens and which are trained', () => {
    expect(view(byteLevel, 'on the<|im_end|>', 1)).toEqual([
      { text: 'on', trained: false, special: false, ids: byteLevel.encode('on') },
      { text: ' the', trained: true, special: false, ids: byteLevel.encode(' the') },
      { text: '<|im_end|>', trained: true, special: true, ids: [2] },
    ]);
  });

  it('never shows the first token as trained', () => {
    expect(view(byteLevel, 'on the', 0).map(({ trained }) => trained)).toEqual([false, true]);
  });

  it('shows a character of several tokens once', () => {
    const pieces = view(byteLevel, 'a\u{1d4fb}b', 2);
    expect(pieces.map(({ text }) => text)).toEqual(['a', '\u{1d4fb}', 'b']);
    expect(pieces[1]).toMatchObject({ trained: true });
    expect(pieces.flatMap(({ ids }) => ids)).toEqual(byteLevel.encode('a\u{1d4fb}b'));
  });

  it('does not join a broken character with what follows', () => {
    const [first = -1] = byteLevel.encode('\u{1d4fb}');
    const inputIds = [first, 2, first, ...byteLevel.encode('on')];
    expect(tokenView(byteLevel, { inputIds, labels: inputIds }).map(({ text }) => text)).toEqual([
      '\ufffd',
      '<|im_end|>',
      '\ufffd',
      'on',
    ]);
  });

  it('gives the decoded text, and every token once, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
        for (const tokenizer of [byteLevel, words]) {
          const pieces = view(tokenizer, text, 2);
          const ids = tokenizer.encode(text);
          expect(pieces.map((piece) => piece.text).join('')).toBe(tokenizer.decode(ids));
          expect(pieces.flatMap((piece) => piece.ids)).toEqual(ids);
        }
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
