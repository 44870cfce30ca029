import { describe, expect, it } from 'vitest';
import { startBlockers, type StartState } from './start-blockers.ts';

const error = { code: 'GPU_UNAVAILABLE', message: 'm', fix: 'f' } as const;
const ready: StartState = {
  capability: { gpu: null, error: null },
  source: 'embedded',
  modelWanted: true,
  model: { status: 'empty' },
  dataWanted: true,
  data: { status: 'empty' },
  badSettings: 0,
  noTargets: false,
};

describe('startBlockers', () => {
  it('lets a run start before anything is loaded', () => {
    expect(startBlockers(ready)).toEqual([]);
  });

  it.each<[string, Partial<StartState>, RegExp]>([
    ['no answer yet', { capability: null }, /checking/i],
    ['no GPU', { capability: { gpu: null, error } }, /cannot run here/i],
    ['no folder', { source: 'files', modelWanted: false }, /folder/i],
    ['no Hub id', { source: 'hub', modelWanted: false }, /hub/i],
    ['a bad model', { model: { status: 'failed', error } }, /model/i],
    ['no file', { dataWanted: false }, /file/i],
    ['bad data', { data: { status: 'failed', error } }, /data/i],
    ['bad settings', { badSettings: 1 }, /settings/i],
    ['no targets', { noTargets: true }, /layer/i],
  ])('names %s', (_, change, words) => {
    const reasons = startBlockers({ ...ready, ...change });
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toMatch(words);
  });

  it('names all reasons at once', () => {
    expect(startBlockers({ ...ready, modelWanted: false, dataWanted: false, badSettings: 2 })).toHaveLength(
      3,
    );
  });
});
