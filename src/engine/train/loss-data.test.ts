import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packExamples } from './batcher.ts';
import { checkLossData, groupLossData, packLossData, targetsPerToken, type LossDatum } from './loss-data.ts';
import { lossFrom } from './losses.ts';

const limits = { vocabSize: 50, maxTokens: 8 };
const crossEntropy = lossFrom('cross_entropy');
const ppo = lossFrom('ppo');
const row = { inputIds: [1, 2, 3], targetTokens: [2, 3, 4] };
const sampled = { ...row, logprobs: [-1, -2, -3], advantages: [1, 0, -1] };

describe('checkLossData', () => {
  test.each<[string, LossDatum, string, Record<string, number>?]>([
    ['no weights', row, 'cross_entropy'],
    ['negative and zero weights', { ...row, weights: [-1, 0, 2] }, 'cross_entropy'],
    ['two targets each', { ...row, targetTokens: [0, 1, 2, 3, 4, 49] }, 'cross_entropy'],
    [
      'as many tokens as fit',
      { inputIds: new Uint32Array(8), targetTokens: new Uint32Array(8) },
      'cross_entropy',
    ],
    [
      'typed arrays',
      { inputIds: Uint32Array.of(1), targetTokens: Int32Array.of(2), weights: Float32Array.of(1) },
      'cross_entropy',
    ],
    ['importance sampling', sampled, 'importance_sampling'],
    ['ppo', sampled, 'ppo'],
    ['one bound of its own', { ...sampled, clipHighThreshold: [2, 2, 1] }, 'cispo'],
    ['both bounds', { ...sampled, clipLowThreshold: [0, 1, 1], clipHighThreshold: [0, 2, 1] }, 'ppo'],
    ['dro', sampled, 'dro', { beta: 0.05 }],
  ])('takes %s', (_, datum, name, settings) => {
    expect(() => {
      checkLossData([datum], lossFrom(name, settings), limits);
    }).not.toThrow();
  });

  test.each<[string, LossDatum[], string, string, string]>([
    ['no data', [], 'cross_entropy', 'DATA_EMPTY', 'no data'],
    ['no tokens', [{ inputIds: [], targetTokens: [] }], 'cross_entropy', 'DATA_EMPTY', 'Datum 0'],
    ['no targets', [row, { inputIds: [1], targetTokens: [] }], 'cross_entropy', 'DATA_EMPTY', 'Datum 1'],
    [
      'too many tokens',
      [{ inputIds: new Uint32Array(9), targetTokens: new Uint32Array(9) }],
      'cross_entropy',
      'DATA_TOO_LONG',
      'are 9, and 8 fit',
    ],
    [
      'a token outside',
      [{ ...row, inputIds: [1, 50, 2] }],
      'cross_entropy',
      'DATA_INVALID',
      'input token 1 is 50',
    ],
    [
      'an ignored target',
      [{ ...row, targetTokens: [-100, 1, 2] }],
      'cross_entropy',
      'DATA_INVALID',
      'target 0 is -100',
    ],
    ['half a token', [{ ...row, targetTokens: [0, 1, 2.5] }], 'cross_entropy', 'DATA_INVALID', '2.5'],
    [
      'a missing target',
      [{ ...row, targetTokens: [2, 3] }],
      'cross_entropy',
      'DATA_INVALID',
      '2 targets for 3',
    ],
    [
      'two targets in ppo',
      [{ ...sampled, targetTokens: [2, 3, 4, 2, 3, 4] }],
      'ppo',
      'DATA_INVALID',
      '6 targets',
    ],
    ['a missing weight', [{ ...row, weights: [1, 1] }], 'cross_entropy', 'DATA_INVALID', '2 weights for 3'],
    [
      'weights for one of two targets',
      [{ ...row, targetTokens: [1, 2, 3, 4, 5, 6], weights: [1, 1, 1] }],
      'cross_entropy',
      'DATA_INVALID',
      '3 weights for 6',
    ],
    ['advantages in cross-entropy', [sampled], 'cross_entropy', 'DATA_INVALID', 'takes no logprobs'],
    ['weights in ppo', [{ ...sampled, weights: [1, 1, 1] }], 'ppo', 'DATA_INVALID', 'takes no weights'],
    [
      'bounds in importance sampling',
      [{ ...sampled, clipLowThreshold: [1, 1, 1] }],
      'importance_sampling',
      'DATA_INVALID',
      'clipLowThreshold',
    ],
    ['no advantages', [{ ...row, logprobs: [1, 1, 1] }], 'ppo', 'DATA_INVALID', 'needs advantages'],
    [
      'no log-probabilities',
      [{ ...row, advantages: [1, 1, 1] }],
      'importance_sampling',
      'DATA_INVALID',
      'needs logprobs',
    ],
    [
      'an advantage that is no number',
      [{ ...sampled, advantages: [0, NaN, 1] }],
      'ppo',
      'DATA_INVALID',
      'advantages 1 is NaN',
    ],
    [
      'a weight beyond float32',
      [{ ...row, weights: [0, 1, 1e39] }],
      'cross_entropy',
      'DATA_INVALID',
      '1e+39',
    ],
    [
      'an infinite log-probability',
      [{ ...sampled, logprobs: [-Infinity, 0, 0] }],
      'ppo',
      'DATA_INVALID',
      '-Infinity',
    ],
    [
      'a bound below the other',
      [{ ...sampled, clipLowThreshold: [0, 1.25, 0] }],
      'ppo',
      'OPTION_INVALID',
      '1.25',
    ],
    ['a bound below 0', [{ ...sampled, clipLowThreshold: [0, -0.5, 0] }], 'cispo', 'OPTION_INVALID', '-0.5'],
  ])('refuses %s', (_, data, name, code, text) => {
    const attempt = (): void => {
      checkLossData(data, lossFrom(name), limits);
    };
    expect(attempt).toThrow(expect.objectContaining({ code }));
    expect(attempt).toThrow(text);
  });
});

const tokens = fc.array(fc.nat(49), { minLength: 1, maxLength: 8 });
const datum = fc
  .tuple(tokens, fc.integer({ min: 1, max: 3 }), fc.nat())
  .map(([inputIds, perToken, seed]): LossDatum => {
    const count = inputIds.length * perToken;
    const targetTokens = Array.from({ length: count }, (_, i) => (seed + i * 7) % 50);
    return { inputIds, targetTokens, weights: targetTokens.map((id) => id / 8 - 2) };
  });

test('groups keep the order, fit, are not smaller than need be, and are of one kind', () => {
  fc.assert(
    fc.property(
      fc.array(datum, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 8, max: 30 }),
      (data, max) => {
        const groups = groupLossData(data, max);
        const size = (group: readonly LossDatum[]): number =>
          group.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
        expect(groups.flat()).toEqual(data);
        groups.forEach((group, index) => {
          expect(size(group)).toBeLessThanOrEqual(max);
          expect(new Set(group.map(targetsPerToken)).size).toBe(1);
          const [first] = groups[index + 1] ?? [];
          const [own] = group;
          if (!first || !own || targetsPerToken(first) !== targetsPerToken(own)) return;
          expect(size([...group, first])).toBeGreaterThan(max);
        });
      },
    ),
  );
});

describe('packLossData', () => {
  test('sends every token to the head and lies as the rows of supervised training do', () => {
    const data: LossDatum[] = [
      { inputIds: [1, 2, 3], targetTokens: [2, 3, 9], weights: [0, -0.5, 2] },
      { inputIds: [7], targetTokens: [8], weights: [1] },
    ];
    const batch = packLossData(data, crossEntropy);
    const want = packExamples(
      [
        { inputIds: [1, 2, 3, 9], labels: [0, 2, 3, 9] },
        { inputIds: [7, 8], labels: [7, 8] },
      ],
      1,
    );
    const weights = Float32Array.of(0, -0.5, 2, 1);
    const lossInputs = Float32Array.of(0, 0, 0, 0, -0.5, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0);
    expect(batch).toEqual({ ...want, weights, lossInputs });
  });

  test('takes one column of several targets', () => {
    const data: LossDatum[] = [{ inputIds: [1, 2], targetTokens: [3, 4, 5, 6], weights: [0.5, 1, 2, 4] }];
    const columns = [0, 1].map((column) => packLossData(data, crossEntropy, column));
    expect(columns.map(({ targets }) => [...targets])).toEqual([
      [3, 5],
      [4, 6],
    ]);
    expect(columns.map(({ weights }) => [...weights])).toEqual([
      [0.5, 2],
      [1, 4],
    ]);
  });

  test('carries what each loss needs, in float32', () => {
    const one: LossDatum = { inputIds: [1], targetTokens: [2], logprobs: [-0.3], advantages: [0.7] };
    const inputs = (data: LossDatum, name: string, settings?: Record<string, number>): number[] => [
      ...packLossData([data], lossFrom(name, settings)).lossInputs,
    ];
    const rounded = (...values: number[]): number[] => values.map(Math.fround);
    expect(inputs({ inputIds: [1], targetTokens: [2] }, 'cross_entropy')).toEqual([1, 0, 0, 0]);
    expect(inputs(one, 'importance_sampling')).toEqual(rounded(0.7, -0.3, 0, 0));
    expect(inputs(one, 'ppo')).toEqual(rounded(0.7, -0.3, 0.8, 1.2));
    expect(inputs({ ...one, clipLowThreshold: [0.1] }, 'cispo')).toEqual(rounded(0.7, -0.3, 0.1, 1.2));
    expect(inputs({ ...one, clipHighThreshold: [3] }, 'cispo')).toEqual(rounded(0.7, -0.3, 0.8, 3));
    expect(inputs(one, 'dro', { beta: 0.05 })).toEqual(rounded(0.7, -0.3, 0.05, 0));
    expect(ppo).toMatchObject({ clipLowThreshold: 0.8, clipHighThreshold: 1.2 });
  });
});
