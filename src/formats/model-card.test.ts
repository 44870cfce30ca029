import { describe, expect, it } from 'vitest';
import { modelCard } from './model-card.ts';
import { testAdapter } from './testing-adapter.ts';
import { isUlid, ulid } from './ulid.ts';

describe('modelCard', () => {
  const { settings } = testAdapter();

  it('has the front matter of PEFT for a base on the Hub', () => {
    const text = modelCard('acme/tiny', settings, { dataName: 'a.jsonl', facts: [['Steps', '10']] });
    expect(text.split('\n').slice(0, 9)).toEqual([
      '---',
      'base_model: acme/tiny',
      'library_name: peft',
      'pipeline_tag: text-generation',
      'tags:',
      '- base_model:adapter:acme/tiny',
      '- lora',
      '- lorikeet',
      '---',
    ]);
    expect(text).toContain('| Steps | 10 |');
    expect(text).toContain('| Layers | down\\_proj, q\\_proj, v\\_proj |');
  });

  it('names no base in the front matter for a local path, and takes the sting out of names', () => {
    const text = modelCard('/data/<script>', settings, { dataName: '[x](javascript:y)|\n# z', facts: [] });
    expect(text).not.toContain('base_model:');
    expect(text).toContain('| Base model | /data/\\<script\\> |');
    expect(text).toContain('| Data | \\[x\\](javascript:y)\\| \\# z |');
  });
});

describe('ulid', () => {
  it('has the time in front and the randomness behind', () => {
    // The example of the specification: 1469918176385 gives 01ARYZ6S41.
    expect(ulid(1469918176385, new Uint8Array(10))).toBe('01ARYZ6S410000000000000000');
    expect(ulid(0, new Uint8Array(10).fill(255))).toBe('0000000000ZZZZZZZZZZZZZZZZ');
    expect(isUlid(ulid(2 ** 48 - 1, new Uint8Array(10)))).toBe(true);
    expect(isUlid('x')).toBe(false);
    expect(() => ulid(-1, new Uint8Array(10))).toThrow('cannot be made');
  });
});
