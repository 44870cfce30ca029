import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StopTexts, type AnswerPiece } from './stop-texts.ts';

/** Feeds pieces and returns what came out, per push and at the end. */
function feed(
  stops: string[],
  texts: string[],
  tail = '',
): { steps: string[][]; rest: string[]; stopped: boolean } {
  const held = new StopTexts(stops);
  const steps: string[][] = [];
  for (const [id, text] of texts.entries()) {
    steps.push(Array.from(held.push({ id, logprob: -id, text }), (piece) => piece.text));
    if (held.stopped) return { steps, rest: [], stopped: true };
  }
  return { steps, rest: Array.from(held.finish(tail), (piece) => piece.text), stopped: false };
}

test('lets everything go at once where nothing stops', () => {
  expect(feed([], ['a', 'b'])).toEqual({ steps: [['a'], ['b']], rest: [], stopped: false });
});

test('cuts inside a token, exactly before the stop text', () => {
  expect(feed(['\n'], ['one', ' two\nthree'])).toEqual({
    steps: [['one'], [' two']],
    rest: [],
    stopped: true,
  });
});

test('holds back what may become a stop text over several tokens', () => {
  expect(feed(['END'], ['x', 'E', 'N', 'D', 'y'])).toEqual({
    steps: [['x'], [], [], []],
    rest: [],
    stopped: true,
  });
  expect(feed(['END'], ['x', 'E', 'N', 'O'])).toEqual({
    steps: [['x'], [], [], ['E', 'N', 'O']],
    rest: [],
    stopped: false,
  });
});

test('gives what was held back when the answer ends', () => {
  expect(feed(['END'], ['x', 'EN']).rest).toEqual(['EN']);
});

test('the first of several stop texts counts', () => {
  expect(feed(['c', 'b'], ['abc']).steps).toEqual([['a']]);
});

test('a token without text waits for what completes it', () => {
  expect(feed([], ['a', '', 'é'])).toEqual({ steps: [['a'], [], ['', 'é']], rest: [], stopped: false });
  expect(feed([], ['a', ''], '\ufffd')).toEqual({ steps: [['a'], []], rest: ['\ufffd'], stopped: false });
});

test('an empty stop text stops nothing', () => {
  expect(feed([''], ['a']).steps).toEqual([['a']]);
});

test('the pieces joined are the text before the stop text, whatever the tokens', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 });
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 12 }), fc.array(letters, { maxLength: 3 }), (texts, stops) => {
      const held = new StopTexts(stops);
      const out: AnswerPiece[] = [];
      for (const [id, text] of texts.entries()) {
        out.push(...held.push({ id, logprob: 0, text }));
        if (held.stopped) break;
      }
      out.push(...held.finish(''));
      // An answer ends with the token that completes a stop text.
      const prefixes = texts.map((_, index) => texts.slice(0, index + 1).join(''));
      const cuts = (text: string): number[] =>
        stops.filter((stop) => stop !== '' && text.includes(stop)).map((stop) => text.indexOf(stop));
      const ended = prefixes.find((text) => cuts(text).length > 0);
      const expected = ended?.slice(0, Math.min(...cuts(ended))) ?? texts.join('');
      expect(out.map(({ text }) => text).join('')).toBe(expected);
      // Tokens come in order and none is left out before the cut.
      expect(out.map(({ id }) => id)).toEqual(out.map((_, index) => index));
    }),
    { numRuns: 1000 },
  );
});
