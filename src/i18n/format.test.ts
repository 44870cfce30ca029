import { describe, expect, it } from 'vitest';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDuration,
  formatFigure,
  formatRate,
  formatShare,
} from './format.ts';

describe('numbers as people read them', () => {
  it('writes counts, shares and figures', () => {
    expect(formatCount(12345)).toBe('12,345');
    expect(formatCompact(3148224)).toBe('3.15M');
    expect(formatShare(0.424)).toBe('42%');
    expect(formatFigure(2.6372)).toBe('2.64');
    expect(formatFigure(0.01234)).toBe('0.0123');
    expect(formatFigure(Number.NaN)).toBe('NaN');
  });

  it('writes learning rates without a tail of zeros in front', () => {
    expect(formatRate(0.002)).toBe('0.00200');
    expect(formatRate(1e-4)).toBe('1E-4');
    expect(formatRate(0)).toBe('0.00');
  });

  it('writes bytes in the unit that fits', () => {
    expect(formatBytes(0)).toBe('0 B');
    expect(formatBytes(999)).toBe('999 B');
    expect(formatBytes(6_300_000)).toBe('6.3 MB');
    expect(formatBytes(999_999)).toBe('1.0 MB');
    expect(formatBytes(64_200_000_000)).toBe('64 GB');
  });

  it('writes durations', () => {
    expect(formatDuration(0.4)).toBe('0 s');
    expect(formatDuration(95)).toBe('1 min 35 s');
    expect(formatDuration(7500)).toBe('2 h 5 min');
    expect(formatDuration(-3)).toBe('0 s');
  });
});
