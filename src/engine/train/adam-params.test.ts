import { expect, test } from 'vitest';
import { checkAdamParams } from './adam-params.ts';
import { DEFAULT_FINETUNE, type AdamParams } from './types.ts';

test('takes the defaults and the ends of the ranges', () => {
  const least = { learningRate: 0, beta1: 0, beta2: 0, eps: 1e-300, weightDecay: 0, gradClip: 0 };
  const large = { learningRate: 1e9, beta1: 0.99999, beta2: 0.99999, eps: 1, weightDecay: 9, gradClip: 9 };
  for (const params of [DEFAULT_FINETUNE, least, large]) {
    expect(() => {
      checkAdamParams(params);
    }).not.toThrow();
  }
});

const bad: [Partial<AdamParams>, string][] = [
  [{ learningRate: -1e-9 }, 'learning rate is -1e-9'],
  [{ beta1: -0.1 }, 'beta1 is -0.1'],
  [{ beta1: 1 }, 'beta1 is 1'],
  [{ beta2: 1 }, 'beta2 is 1'],
  [{ eps: 0 }, 'eps is 0'],
  [{ weightDecay: -1 }, 'weight decay is -1'],
  [{ gradClip: -1 }, 'gradient clipping is -1'],
  ...(['learningRate', 'beta1', 'beta2', 'eps', 'weightDecay', 'gradClip'] as const).flatMap(
    (key): [Partial<AdamParams>, string][] => [
      [{ [key]: NaN }, 'NaN'],
      [{ [key]: Infinity }, 'Infinity'],
    ],
  ),
];

test.each(bad)('refuses %o', (change, text) => {
  const attempt = (): void => {
    checkAdamParams({ ...DEFAULT_FINETUNE, ...change });
  };
  expect(attempt).toThrow(text);
  expect(attempt).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }));
});
