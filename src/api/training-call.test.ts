import { describe, expect, it } from 'vitest';
import { BadRequestError } from './errors.ts';
import { ModelInput } from './model-input.ts';
import { toCsr } from './tensor.ts';
import { prepareTrainingCall } from './training-call.ts';
import type { Datum, LossFnType } from './types.ts';

const datum = (inputs: Datum['lossFnInputs'], tokens = [5, 6, 7]): Datum => ({
  modelInput: ModelInput.fromInts(tokens),
  lossFnInputs: inputs,
});
const rl = { targetTokens: [6, 7, 8], logprobs: [0, -1, -2], advantages: [0, 1, 1] };

function message(data: readonly Datum[], lossFn: string, config?: Record<string, number>): string {
  try {
    prepareTrainingCall(data, lossFn as LossFnType, config);
  } catch (error) {
    return error instanceof BadRequestError ? error.message : `another error: ${String(error)}`;
  }
  return 'taken';
}

describe('a call of forward or forwardBackward', () => {
  it('takes keys in both spellings and says absent weights', () => {
    const { data } = prepareTrainingCall([datum({ target_tokens: [6, 7, 8] })], 'cross_entropy');
    expect(data[0]?.length).toBe(3);
    expect(data[0]?.inputs.targetTokens.data).toEqual(Int32Array.of(6, 7, 8));
    expect(data[0]?.inputs.weights?.data).toEqual(Float32Array.of(1, 1, 1));
  });

  it('is a copy: what the caller changes later is not trained on', () => {
    const targets = [6, 7, 8];
    const tokens = [5, 6, 7];
    const input = { chunks: [{ type: 'encoded_text' as const, tokens }] };
    const call = prepareTrainingCall(
      [{ modelInput: input, lossFnInputs: { targetTokens: targets } }],
      'cross_entropy',
    );
    targets[0] = 99;
    tokens[0] = 99;
    expect(call.data[0]?.inputs.targetTokens.data[0]).toBe(6);
    expect(call.data[0]?.chunks).toEqual([{ type: 'encoded_text', tokens: [5, 6, 7] }]);
  });

  it('takes several weighted targets at a position, as nested arrays and as CSR', () => {
    const nested = prepareTrainingCall(
      [
        datum({
          targetTokens: [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
          weights: [
            [1, 0],
            [0, 0],
            [0.5, 0.5],
          ],
        }),
      ],
      'cross_entropy',
    );
    const sparse = {
      data: [1, 0.5, 0.5],
      dtype: 'float32' as const,
      shape: [3, 2],
      sparseCrowIndices: [0, 1, 1, 3],
      sparseColIndices: [0, 0, 1],
    };
    const csr = prepareTrainingCall(
      [
        datum({
          targetTokens: [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
          weights: sparse,
        }),
      ],
      'cross_entropy',
    );
    expect(csr.data[0]?.inputs.weights).toEqual(nested.data[0]?.inputs.weights);
    expect(nested.data[0]?.inputs.weights?.shape).toEqual([3, 2]);
  });

  it.each([
    [[], 'cross_entropy', 'The batch is empty.'],
    [[datum({})], 'cross_entropy', 'needs targetTokens'],
    [[datum({ targetTokens: [6, 7] })], 'cross_entropy', 'targetTokens has 2 positions, the input has 3'],
    [[datum({ targetTokens: [6, 7, 8], weights: [1, 1] })], 'cross_entropy', 'weights has 2 positions'],
    [[datum({ targetTokens: [6, 7, -1] })], 'cross_entropy', '-1 at position 2'],
    [[datum({ targetTokens: [6, 7, 2 ** 31] })], 'cross_entropy', '2147483648'],
    [[datum({ targetTokens: [6, 7, 1.5] })], 'cross_entropy', '1.5'],
    [[datum({ targetTokens: [6, 7, 8], weights: [1, NaN, 1] })], 'cross_entropy', 'NaN at position 1'],
    [[datum({ targetTokens: [6, 7, 8], weights: [1, 1e39, 1] })], 'cross_entropy', 'float32 cannot hold'],
    [[datum({ targetTokens: [6, 7, 8], mask: [1, 1, 1] })], 'cross_entropy', 'takes no "mask"'],
    [
      [datum({ targetTokens: [[6], [7], [8]], weights: [1, 1, 1] })],
      'cross_entropy',
      'weights has the shape [3]',
    ],
    [[datum({ targetTokens: [[6, 7], [8], [9, 1]] })], 'cross_entropy', 'ragged'],
    [[datum({ ...rl, weights: [1, 1, 1] })], 'ppo', 'takes no "weights"'],
    [[datum({ ...rl, advantages: [0, NaN, 1] })], 'importance_sampling', 'advantages has NaN'],
    [[datum({ targetTokens: [6, 7, 8], logprobs: [0, 0, 0] })], 'cispo', 'needs advantages'],
    [[datum({ ...rl, targetTokens: [[6], [7], [8]] })], 'ppo', 'one target for each position'],
    [
      [datum({ targetTokens: [1] }, [5]), datum({ targetTokens: [] }, [])],
      'cross_entropy',
      'Datum 1 has no input',
    ],
    [[datum(rl)], 'nonsense', 'no loss "nonsense"'],
    [[datum(rl)], 'dro', 'needs beta'],
    [[{} as Datum], 'cross_entropy', 'no modelInput'],
    [[null as unknown as Datum], 'cross_entropy', 'no modelInput'],
    [[datum({ targetTokens: { data: [1, 2, 3], dtype: 'float32' } })], 'cross_entropy', 'dtype float32'],
    [
      [datum({ targetTokens: { data: [1, 2, 3], dtype: 'int64', shape: [2] } })],
      'cross_entropy',
      '3 values for the shape [2]',
    ],
  ] satisfies [Datum[], string, string][])('refuses case %#', (data, lossFn, words) => {
    expect(message(data, lossFn)).toContain(words);
  });

  it.each([
    ['ppo', { beta: 1 }, 'no setting "beta"'],
    ['importance_sampling', { beta: 1 }, 'no setting "beta"'],
    ['ppo', { clipLowThreshold: 2 }, 'no range'],
    ['ppo', { clip_low_threshold: NaN }, 'must be a finite number'],
    ['dro', { beta: 0.05 }, 'taken'],
    ['cispo', { clip_high_threshold: 1.5 }, 'taken'],
  ])('checks the settings of %s', (lossFn, config, words) => {
    expect(message([datum(rl)], lossFn, config)).toContain(words);
  });

  it('fills in the clip range as ratios', () => {
    expect(prepareTrainingCall([datum(rl)], 'ppo').lossFnConfig).toEqual({
      clipLowThreshold: 0.8,
      clipHighThreshold: 1.2,
    });
    const config = prepareTrainingCall([datum(rl)], 'ppo', { clip_low_threshold: 0.5 }).lossFnConfig;
    expect(config).toEqual({ clipLowThreshold: 0.5, clipHighThreshold: 1.2 });
  });
});

describe('model inputs', () => {
  it('are built and read', () => {
    const input = ModelInput.appendInt(ModelInput.fromInts([1, 2]), 3);
    expect(ModelInput.toInts(input)).toEqual([1, 2, 3]);
    const image = {
      type: 'image_asset_pointer' as const,
      format: 'png' as const,
      location: 'x',
      expectedTokens: 4,
    };
    const mixed = ModelInput.appendInt(ModelInput.append(input, image), 9);
    expect(ModelInput.length(mixed)).toBe(8);
    expect(() => ModelInput.toInts(mixed)).toThrow(BadRequestError);
    expect(ModelInput.length(ModelInput.empty())).toBe(0);
    expect(ModelInput.length(ModelInput.append(input, { type: 'dmel', dmel: 'x' }))).toBeNull();
    expect(() => ModelInput.fromInts([1, -1])).toThrow('-1 at position 1');
  });
});

it('writes CSR only where that is smaller', () => {
  const tensor = (data: number[], shape: number[]) => ({
    dtype: 'float32' as const,
    shape,
    data: Float32Array.from(data),
  });
  expect(toCsr(tensor([1, 2, 3, 4], [2, 2]))).toBeNull();
  expect(toCsr(tensor([1, 0, 0, 0], [4]))).toBeNull();
  const wide = tensor([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0], [2, 8]);
  expect(toCsr(wide)).toEqual({ values: [2], crow: [0, 1, 1], cols: [7] });
});
