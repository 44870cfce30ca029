/** The list of life-cycle troubles of the format page (119 to 132) against the tests: no number is without one. */
import { readFile, readdir } from 'node:fs/promises';
import { expect, it } from 'vitest';

/** The numbers before the colon of a test's name, after `it(`, `.each(...)(` or `name:`. */
const NUMBERED = /(?:\(|name:)\s*['`](\d{3}(?:, \d{3})*): /g;

/** What ends in the training loop or in an archive and is tested there, besides what the store does about it. */
const ELSEWHERE = ['../checkpoints/run-saver.test.ts'];

async function numbersIn(path: string): Promise<number[]> {
  const text = await readFile(new URL(path, import.meta.url), 'utf8');
  return [...text.matchAll(NUMBERED)].flatMap(([, numbers = '']) => numbers.split(', ').map(Number));
}

it('has a test for every number from 119 to 132, and only device and training troubles outside of the store', async () => {
  const names = (await readdir(new URL('./', import.meta.url))).filter((name) =>
    /\.(test|suite)\.ts$/.test(name),
  );
  const here = new Set((await Promise.all(names.map(numbersIn))).flat());
  const elsewhere = new Set((await Promise.all(ELSEWHERE.map(numbersIn))).flat());
  const all = Array.from({ length: 14 }, (_, i) => i + 119);
  expect(all.filter((number) => !here.has(number))).toEqual([130]);
  expect(elsewhere.has(130)).toBe(true);
});
