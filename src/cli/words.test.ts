import { expect, test } from 'vitest';
import { bytes, columns, count, duration, printable, quoted, table } from './words.ts';

test('counts', () => expect(count(1234567)).toBe('1,234,567'));

test.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1536, '1.5 KiB'],
  [7 * 2 ** 20, '7.0 MiB'],
])('%d bytes are %s', (value, expected) => expect(bytes(value)).toBe(expected));

test.each([
  [3.4, '3 s'],
  [185, '3 min 05 s'],
  [3600 + 125, '1 h 02 min'],
])('%d seconds are %s', (value, expected) => expect(duration(value)).toBe(expected));

test('a table has its values in one column', () => {
  expect(
    table([
      ['a', '1'],
      ['long', '2'],
    ]),
  ).toBe('a     1\nlong  2\n');
});

test('columns are as wide as their widest cell, and steer no terminal', () => {
  expect(
    columns([
      ['a', 'bb', ''],
      ['ccc', '\u001b[31mred\u0007\n', 'd'],
    ]),
  ).toBe(`a    bb\nccc  \ufffd[31mred\ufffd\ufffd  d\n`);
  expect(printable('Zoë \u202e läuft')).toBe('Zoë \ufffd läuft');
});

test.each([
  ['lorikeet-runs', 'lorikeet-runs'],
  ['/a/b.c', '/a/b.c'],
  ['my runs', "'my runs'"],
  ["it's", String.raw`'it'\''s'`],
  ['$HOME', "'$HOME'"],
  ['', "''"],
])('a shell takes %j as %s', (word, expected) => expect(quoted(word)).toBe(expected));
