/** The list of hostile inputs of the format page (sections A to E) against the tests: no number is without one. */
import { readFile, readdir } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { gzipCorpus } from './testing-gzip-corpus.ts';
import { safetensorsCorpus } from './testing-safetensors-corpus.ts';

/** Names of tests and first cells of tables that begin with numbers: `it('86, 90: ...`, `['58 cut in ...`. */
const NUMBERED = /(?:\b(?:it|test|describe)\(|\[)\s*['`](\d{1,3}(?:, \d{1,3})*):? [^'`]/g;

/** Shows what names look like, and is no test of any. */
const OWN = 'hostile-list.test.ts';

it('has a test for every number from 1 to 108', async () => {
  const folder = new URL('./', import.meta.url);
  const files = (await readdir(folder)).filter((name) => name.endsWith('.test.ts') && name !== OWN);
  const found = new Set([...safetensorsCorpus(), ...gzipCorpus()].map(({ number }) => number));
  for (const file of files) {
    const text = await readFile(new URL(file, folder), 'utf8');
    for (const [, numbers = ''] of text.matchAll(NUMBERED)) {
      for (const number of numbers.split(', ')) found.add(Number(number));
    }
  }
  const all = Array.from({ length: 108 }, (_, i) => i + 1);
  expect(all.filter((number) => !found.has(number))).toEqual([]);
});
