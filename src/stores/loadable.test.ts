import { describe, expect, it } from 'vitest';
import { advanceLoad, beginLoad, failLoad, finishLoad, nothingLoaded, viewOf } from './loadable.ts';

const error = { code: 'DATA_EMPTY', message: 'a.jsonl has no rows.', fix: 'Choose another.' } as const;

describe('a loadable', () => {
  it('goes from empty over progress to ready', () => {
    expect(viewOf(nothingLoaded<number>(), 'a')).toEqual({ status: 'empty' });
    let load = beginLoad<number>('a');
    load = advanceLoad(load, 'a', { label: 'a', done: 1, total: 2 });
    expect(viewOf(load, 'a')).toEqual({ status: 'loading', progress: { label: 'a', done: 1, total: 2 } });
    load = finishLoad(load, 'a', 7);
    expect(viewOf(load, 'a')).toEqual({ status: 'ready', value: 7 });
    expect(viewOf(load, null)).toEqual({ status: 'empty' });
  });

  it('shows an answer only for its own question', () => {
    // The load of `a` is still under way when `b` is asked for.
    let load = beginLoad<number>('b');
    load = advanceLoad(load, 'a', { label: 'late', done: 1, total: 2 });
    load = finishLoad(load, 'a', 1);
    expect(viewOf(load, 'b')).toEqual({ status: 'loading', progress: null });
    load = failLoad(load, 'b', error);
    expect(viewOf(load, 'b')).toEqual({ status: 'failed', error });
    expect(viewOf(load, 'a')).toEqual({ status: 'empty' });
  });

  it('lets nothing stay of a load that was overtaken', () => {
    const overtaken = finishLoad(beginLoad<number>('b'), 'a', 1);
    expect(viewOf(overtaken, 'a')).toEqual({ status: 'empty' });
    expect(viewOf(failLoad(overtaken, 'a', error), 'a')).toEqual({ status: 'empty' });
    expect(viewOf(overtaken, 'b')).toEqual({ status: 'loading', progress: null });
  });

  it('forgets a failure when the next load begins', () => {
    const failed = failLoad(beginLoad<number>('a'), 'a', error);
    expect(viewOf(failed, 'a')).toEqual({ status: 'failed', error });
    expect(viewOf(beginLoad<number>('b'), 'a')).toEqual({ status: 'empty' });
  });
});
