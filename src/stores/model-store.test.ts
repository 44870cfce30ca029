import { describe, expect, it } from 'vitest';
import { modelStore, pickModelFiles, wantedModel } from './model-store.ts';

const base = { source: 'hub', files: [], pick: 0, hubId: '' } as const;

describe('wantedModel', () => {
  it('is the embedded model on first load', () => {
    expect(wantedModel(modelStore.getState())).toEqual({ key: 'embedded', choice: { kind: 'embedded' } });
  });

  it('reads a Hub id with and without a revision', () => {
    expect(wantedModel({ ...base, hubId: ' Some-Org/small.model ' })?.choice).toEqual({
      kind: 'hub',
      id: 'Some-Org/small.model',
    });
    expect(wantedModel({ ...base, hubId: 'a/b@refs/pr/1' })?.choice).toEqual({
      kind: 'hub',
      id: 'a/b',
      revision: 'refs/pr/1',
    });
  });

  it.each(['', 'gpt2', 'a/b/c', 'a b/c', 'a/b@'])('wants nothing for %j', (hubId) => {
    expect(wantedModel({ ...base, hubId })).toBeNull();
  });

  it('tells two picks of the same names apart', () => {
    const files = [{ path: 'm/config.json', file: new File(['{}'], 'config.json') }];
    pickModelFiles(files);
    const first = wantedModel(modelStore.getState());
    pickModelFiles(files);
    const second = wantedModel(modelStore.getState());
    expect(first?.choice.kind).toBe('files');
    expect(first?.key).not.toBe(second?.key);
  });
});
