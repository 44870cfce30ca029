import { describe, expect, it } from 'vitest';
import { advanceLoad, beginLoad, failLoad, finishLoad, nothingLoaded, viewOf } from './loadable.ts';

const error = { code: 'DATA_EMPTY', message: 'a.jsonl has no rows.', fix: 'Choose another.' } as const;

describe('a loadable', () => {
  it('goes from empty over progress to ready', () => {
    let load = nothingLoaded<number>();
    expect(viewOf(load, 'a')).toEqual({ status: 'empty' });
    load = beginLoad(load, 'a');
    load = advanceLoad(load, 'a', { label: 'a', done: 1, total: 2 });
    expect(viewOf(load, 'a')).toEqual({ status: 'loading', progress: { label: 'a', done: 1, total: 2 } });
    load = finishLoad(load, 'a', 7);
    expect(viewOf(load, 'a')).toEqual({ status: 'ready', value: 7 });
    expect(viewOf(load, null)).toEqual({ status: 'empty' });
  });

  it('shows an answer only for its own question', () => {
    let load = beginLoad(nothingLoaded<number>(), 'a');
    load = beginLoad(load, 'b');
    load = advanceLoad(load, 'a', { label: 'late', done: 1, total: 2 });
    load = finishLoad(load, 'a', 1);
    expect(viewOf(load, 'b')).toEqual({ status: 'loading', progress: null });
    load = failLoad(load, 'b', error);
    expect(viewOf(load, 'b')).toEqual({ status: 'failed', error });
    expect(viewOf(load, 'a')).toEqual({ status: 'empty' });
  });

  it('forgets a failure when the next load begins', () => {
    const load = beginLoad(failLoad(nothingLoaded<number>(), 'a', error), 'b');
    expect(viewOf(load, 'a')).toEqual({ status: 'empty' });
  });
});
