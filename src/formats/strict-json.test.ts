import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeUtf8, parseStrictJson, parseStrictObject } from './strict-json.ts';

const parse = (
  text: string,
  extra: { integersOnly?: boolean; maxItems?: number; notFinite?: boolean } = {},
) => parseStrictJson(text, { what: 'x.json', ...extra });

describe('parseStrictJson', () => {
  it('agrees with JSON.parse on everything that JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), fc.constantFrom(0, 1, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(JSON.stringify(parse(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 300 },
    );
  });

  it('refuses what JSON.parse refuses, on random damage', () => {
    const refuses = (read: () => unknown): boolean => {
      try {
        read();
        return false;
      } catch {
        return true;
      }
    };
    const symbols = '{}[]",:0123.eE+-\\ un"tfalsr'.split('');
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...symbols), maxLength: 12 }), (text) => {
        // Stricter is fine (duplicate keys, infinite numbers), looser is not.
        const native = refuses(() => JSON.parse(text));
        expect(native && !refuses(() => parse(text))).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['{"a":1,"a":2}', /occurs twice/],
    ['{"a":1,"\\u0061":2}', /occurs twice/],
    ['[1] x', /after the end/],
    ['[1', /comma is missing/],
    ['', /ends too early/],
    ['{"a" 1}', /colon/],
    ['"a\nb"', /control character/],
    ['"a', /no end/],
    ['"\\x"', /bad escape/],
    ['{a:1}', /string is missing/],
    ['01', /after the end/],
    ['1e999', /out of range/],
    ['['.repeat(200_000), /nested/],
  ])('refuses %.20s', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  it('keeps __proto__ as a plain key', () => {
    const value = parseStrictObject('{"__proto__":{"x":1}}', { what: 'x.json' });
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it('takes only plain whole numbers when asked to', () => {
    expect(parse('[0,12]', { integersOnly: true })).toEqual([0, 12]);
    for (const text of ['-1', '1.0', '1e3', '9007199254740993', '-0']) {
      expect(() => parse(text, { integersOnly: true })).toThrow(/plain whole number/);
    }
  });

  it('reads strings of many megabytes', () => {
    const long = 'x\\n'.repeat(4_000_000);
    expect(parse(`"${long}"`)).toHaveLength(8_000_000);
  });

  it('stops at the item limit', () => {
    expect(() => parse('[1,2,3]', { maxItems: 2 })).toThrow(/more than 2 items/);
  });

  it('reads the NaN and Infinity of Python only when asked to', () => {
    const text = '{"a":NaN,"b":[Infinity,-Infinity]}';
    expect(() => parse(text)).toThrow(/unexpected character/);
    expect({ ...(parse(text, { notFinite: true }) as object) }).toEqual({ a: NaN, b: [Infinity, -Infinity] });
    expect(() => parse('[nan]', { notFinite: true })).toThrow(/unexpected character/);
  });

  it('wants an object where one is expected', () => {
    expect(() => parseStrictObject('[1]', { what: 'x.json' })).toThrow(/x\.json holds an array/);
    expect(() => parseStrictObject('null', { what: 'x.json' })).toThrow(/the value null/);
  });
});

describe('decodeUtf8', () => {
  it('refuses malformed bytes and byte order marks', () => {
    expect(() => decodeUtf8(new Uint8Array([0xff, 0xfe]), 'a')).toThrow(/not UTF-8/);
    expect(() => decodeUtf8(new Uint8Array([0xef, 0xbb, 0xbf, 0x7b]), 'a')).toThrow(/byte order mark/);
    expect(decodeUtf8(new Uint8Array([0xc3, 0xa4]), 'a')).toBe('ä');
  });
});
