import { expect, test } from 'vitest';
import { serverObstacles } from './server-fit.ts';

const LORA = {
  r: 8,
  alpha: 32,
  dropout: 0,
  rslora: false,
  targetModules: ['q_proj'],
  rankPattern: {},
  alphaPattern: {},
};

test('what a server fixes is named where it differs', () => {
  expect(serverObstacles(LORA)).toEqual([]);
  expect(serverObstacles(undefined)).toEqual([]);
  expect(serverObstacles({ ...LORA, alpha: 16, dropout: 0.1, rslora: true, rankPattern: { a: 4 } })).toEqual([
    'alpha is 16, servers have 32',
    'dropout is 0.1, servers have none',
    'the scale is alpha / sqrt(rank)',
    'rank or alpha differ between layers',
  ]);
});
