import { describe, expect, it } from 'vitest';
import { strftime } from './strftime.ts';

describe('strftime', () => {
  const date = new Date(2024, 1, 5, 0, 7, 9);

  it('formats as Python does in the C locale', () => {
    expect(strftime(date, '%d %b %Y, %A %a %B %m/%y')).toBe('05 Feb 2024, Monday Mon February 02/24');
    expect(strftime(date, '%H:%M:%S %I %p %j %-d %-m %-I')).toBe('00:07:09 12 AM 036 5 2 12');
    expect(strftime(new Date(2023, 11, 31, 23, 0, 0), '%j %I %p')).toBe('365 11 PM');
  });

  it('keeps percent signs and unknown codes', () => {
    expect(strftime(date, '100%% %Q %')).toBe('100% %Q %');
  });
});
