import { describe, expect, it, vi } from 'vitest';
import { APITimeoutError, BadRequestError } from './errors.ts';
import { createFuture } from './future.ts';

const later = <T>(value: T, ms: number): Promise<T> =>
  new Promise((resolve) => setTimeout(() => resolve(value), ms));

describe('a future', () => {
  it('starts its work at the call, before anything is awaited', () => {
    const started = vi.fn<() => Promise<number>>(async () => 1);
    void createFuture(started);
    expect(started).toHaveBeenCalledOnce();
  });

  it('is awaited like any promise, and names its request and turns', async () => {
    const future = createFuture(
      async (control) => {
        control.accepted('41');
        return later('done', 5);
      },
      { seqIds: [3, 4] },
    );
    expect(future.seqIds).toEqual([3, 4]);
    expect(future).toBeInstanceOf(Promise);
    await future.submitted;
    expect(future.requestId).toBe('41');
    expect(await future).toBe('done');
    expect(await future.result()).toBe('done');
  });

  it('ends a wait after its time and leaves the work alone', async () => {
    const future = createFuture(() => later('late', 60));
    const error = await future.result({ timeout: 0.01 }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(APITimeoutError);
    expect(error).toMatchObject({ code: 'API_TIMEOUT', retryable: true });
    expect(await future).toBe('late');
  });

  it('rejects itself where the call had the limit, while the result can still be had', async () => {
    const future = createFuture(() => later('late', 40), { timeout: 0.005 });
    await expect(future).rejects.toThrow('no result within 0.005 s');
    expect(await future.result()).toBe('late');
  });

  it('stops waiting by signal with its reason', async () => {
    const stop = new AbortController();
    const future = createFuture(() => later(1, 30));
    const waiting = future.result({ signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(future.result({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    expect(await future).toBe(1);
  });

  it('refuses a time that is none', async () => {
    await expect(createFuture(async () => 1, { timeout: -1 })).rejects.toBeInstanceOf(BadRequestError);
    await expect(createFuture(async () => 1).result({ timeout: NaN })).rejects.toBeInstanceOf(
      BadRequestError,
    );
  });

  it('rejects with what the work throws, without ending the program when nobody looks', async () => {
    const future = createFuture(() => {
      throw new Error('at once');
    });
    await later(null, 5);
    await expect(future).rejects.toThrow('at once');
    await expect(future.submitted).rejects.toThrow('at once');
  });

  it('passes on how the queue stands', async () => {
    const states: unknown[] = [];
    let tell: (state: 'paused_capacity', reason: string) => void = () => undefined;
    const future = createFuture<number>((control) => {
      tell = (...state) => control.queueState(...state);
      return later(1, 5);
    });
    expect(future.onQueueState((...state) => states.push(state))).toBe(future);
    tell('paused_capacity', 'full');
    await future;
    expect(states).toEqual([['paused_capacity', 'full']]);
  });
});
