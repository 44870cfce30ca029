import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseDemoIndex } from './demo-index.ts';

describe('parseDemoIndex', () => {
  it('reads the list that ships with the studio, the pirate set first', async () => {
    const sets = parseDemoIndex(JSON.parse(await readFile('public/datasets/index.json', 'utf8')));
    expect(sets).toHaveLength(3);
    expect(sets[0]?.id).toBe('pirate');
    for (const set of sets) {
      const rows = (await readFile(`public/datasets/${set.file}`, 'utf8')).trim().split('\n');
      expect(rows, set.id).toHaveLength(set.rows);
    }
  });

  it.each([[null], [{}], [[]], [[{ id: 'a' }]], [[{ id: 'a', file: 'b', title: 'c', description: 'd' }]]])(
    'refuses %j',
    (json) => {
      expect(() => parseDemoIndex(json)).toThrow(expect.objectContaining({ code: 'JSON_INVALID' }));
    },
  );
});
