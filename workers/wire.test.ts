import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StudioError } from '../src/errors.ts';
import { overWire, tenPerSecond } from './wire.ts';

describe('overWire', () => {
  it('hands arguments and answers through', async () => {
    expect(await overWire((a: number, b: number) => Promise.resolve(a + b))(1, 2)).toBe(3);
  });

  it('puts the fields of an error into its message, also of one that is thrown at once', async () => {
    const fields = { code: 'DATA_EMPTY', message: 'a.csv has no rows.', fix: 'Choose another.' } as const;
    const call = overWire(() => {
      throw new StudioError(fields);
    });
    await expect(call()).rejects.toThrow(JSON.stringify(fields));
    await expect(overWire(() => Promise.reject(new Error('odd')))()).rejects.toThrow('"code":"INTERNAL"');
  });
});

describe('tenPerSecond', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('lets the first call through and then ten a second', () => {
    const told: number[] = [];
    const tell = tenPerSecond((value: number) => told.push(value));
    for (let i = 0; i < 1000; i++) {
      tell(i);
      vi.advanceTimersByTime(1);
    }
    expect(told).toHaveLength(10);
    expect(told[0]).toBe(0);
  });
});
