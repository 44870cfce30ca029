import { describe, expect, it } from 'vitest';
import { BadRequestError } from './errors.ts';
import { OptimizerMismatchError } from './own-errors.ts';
import { checkAdam, checkLora, checkMetadata, checkSampling, checkTtl } from './parameters.ts';

describe('parameters', () => {
  it('have the defaults of the family', () => {
    expect(checkAdam()).toEqual({
      learningRate: 1e-4,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-12,
      weightDecay: 0,
      gradClipNorm: 0,
    });
    expect(checkLora()).toMatchObject({ rank: 32, alpha: 32, seed: null, trainMlp: true });
    expect(checkSampling()).toEqual({
      maxTokens: null,
      seed: null,
      stop: null,
      temperature: 1,
      topK: -1,
      topP: 1,
    });
  });

  it.each([
    { learningRate: -1 },
    { beta1: 1 },
    { beta2: -0.1 },
    { eps: 0 },
    { weightDecay: NaN },
    { gradClipNorm: -1 },
  ])('refuses the optimizer setting %j', (params) => {
    expect(() => checkAdam(params)).toThrow(BadRequestError);
  });

  it('takes AdamW by name and no other optimizer', () => {
    expect(checkAdam({ type: 'adamw', learningRate: 1 }).learningRate).toBe(1);
    expect(() => checkAdam({ type: 'dimuon' })).toThrow(OptimizerMismatchError);
  });

  it.each([
    { rank: 0 },
    { rank: 1.5 },
    { alpha: 0 },
    { seed: -1 },
    { trainMlp: false, trainAttn: false, trainUnembed: false },
  ])('refuses the adapter setting %j', (config) => {
    expect(() => checkLora(config)).toThrow(BadRequestError);
  });

  it.each([
    { maxTokens: 0 },
    { temperature: -1 },
    { temperature: NaN },
    { topK: 0 },
    { topP: 0 },
    { topP: 1.1 },
    { seed: 0.5 },
    { stop: [''] },
    { stop: [1, 'a'] as unknown as string[] },
  ])('refuses the sampling setting %j', (params) => {
    expect(() => checkSampling(params)).toThrow(BadRequestError);
  });

  it('takes stops of one kind', () => {
    expect(checkSampling({ stop: 'a' }).stop).toEqual({ strings: ['a'] });
    expect(checkSampling({ stop: ['a', 'b'] }).stop).toEqual({ strings: ['a', 'b'] });
    expect(checkSampling({ stop: [1, 2] }).stop).toEqual({ tokens: [1, 2] });
    expect(checkSampling({ stop: [] }).stop).toBeNull();
  });

  it('checks times to live and metadata', () => {
    expect(checkTtl(undefined, 1)).toBeNull();
    expect(checkTtl(null, 1)).toBeNull();
    expect(checkTtl(3600, 3600)).toBe(3600);
    expect(() => checkTtl(60, 3600)).toThrow('takes whole seconds from 3600');
    expect(() => checkTtl(1.5, 1)).toThrow(BadRequestError);
    // A time that is none any more.
    expect(() => checkTtl(Number.MAX_SAFE_INTEGER, 1)).toThrow(BadRequestError);
    expect(checkTtl(100 * 366 * 86_400, 1)).toBe(3_162_240_000);
    expect(checkMetadata({ a: [1, { b: null }] }, 'x')).toEqual({ a: [1, { b: null }] });
    expect(() => checkMetadata({ loss: NaN }, 'The metadata')).toThrow('The metadata has NaN under "loss"');
    expect(() => checkMetadata({ big: 1n }, 'x')).toThrow(BadRequestError);
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    expect(() => checkMetadata(loop, 'x')).toThrow(BadRequestError);
  });
});
