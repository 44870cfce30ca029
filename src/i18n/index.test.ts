import { describe, expect, it } from 'vitest';
import { en } from './en.ts';
import { t } from './index.ts';

describe('t', () => {
  it('puts parameters in', () => {
    expect(t('run.stepOf', { step: '3', steps: '60' })).toBe('3 of 60');
  });

  it('has no empty text and no unbalanced brace', () => {
    for (const [key, text] of Object.entries(en)) {
      expect(text.trim(), key).toBe(text);
      expect(text, key).not.toBe('');
      expect(text.replace(/\{\w+\}/g, ''), key).not.toMatch(/[{}]/);
    }
  });
});
