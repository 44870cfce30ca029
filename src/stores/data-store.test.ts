import { describe, expect, it } from 'vitest';
import { dataStore, pickDataFile, wantedData } from './data-store.ts';

const options = { maxLength: 512, evalSplit: 0.1, seed: 0 };

describe('wantedData', () => {
  it('is the pirate demo on first load', () => {
    const wanted = wantedData(dataStore.getState(), 'embedded', options);
    expect(wanted?.choice).toEqual({ kind: 'demo', id: 'pirate' });
    expect(wanted?.options).toEqual({ trainOn: 'completion', chat: false, ...options });
  });

  it('has another key for another model, option or pick', () => {
    const file = new File(['a'], 'a.txt');
    pickDataFile(file);
    const keys = [
      wantedData(dataStore.getState(), 'embedded', options),
      wantedData(dataStore.getState(), 'hub:a/b', options),
      wantedData(dataStore.getState(), 'embedded', { ...options, seed: 1 }),
    ].map((wanted) => wanted?.key);
    pickDataFile(file);
    keys.push(wantedData(dataStore.getState(), 'embedded', options)?.key);
    expect(new Set(keys).size).toBe(4);
  });

  it('wants nothing without a file or a model', () => {
    const state = { ...dataStore.getState(), selected: 'file', file: null };
    expect(wantedData(state, 'embedded', options)).toBeNull();
    expect(wantedData({ ...state, selected: 'pirate' }, null, options)).toBeNull();
  });
});
