import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LORA, layoutAdapter, parseModelConfig, scheduleFactor } from '../engine/index.ts';
import { batchItems, totalBatches, type BatchPlan } from './batches.ts';
import { completionDatum, supervisedDatum } from './datum.ts';
import { getLoraParamCount, getLr } from './model-figures.ts';
import { dataDigest } from './loop-position.ts';
import { checkSchedule, learningRateAt, SCHEDULES } from './schedules.ts';

describe('schedules', () => {
  it('are the formulas', () => {
    const at = (type: (typeof SCHEDULES)[number], t: number, warmupSteps = 0): number =>
      learningRateAt({ type, baseLr: 2, warmupSteps, totalSteps: 10 }, t);
    expect([0, 5, 9, 10].map((t) => at('linear', t))).toEqual([2, 1, expect.closeTo(0.2, 12), 0]);
    expect([0, 5, 10].map((t) => at('cosine', t))).toEqual([2, expect.closeTo(1, 12), 0]);
    expect([0, 5, 10].map((t) => at('constant', t))).toEqual([2, 2, 2]);
    expect([0, 1, 2, 3, 4].map((t) => at('constant', t, 4))).toEqual([0, 0.5, 1, 1.5, 2]);
  });

  it("are those of the engine's own training", () => {
    const whole = fc.integer({ min: 0, max: 200 });
    fc.assert(
      fc.property(fc.constantFrom(...SCHEDULES), whole, whole, whole, (type, warmupSteps, totalSteps, t) => {
        // Steps that a run has: before its last one is over.
        const step = Math.min(t, totalSteps - 1);
        fc.pre(step >= 0);
        const ours = learningRateAt({ type, baseLr: 1, warmupSteps, totalSteps }, step);
        const theirs = scheduleFactor({ name: type, warmupSteps, totalSteps }, step);
        expect(ours).toBeCloseTo(theirs, 12);
      }),
    );
  });

  it('refuse what is none', () => {
    const good = { type: 'linear', baseLr: 1, warmupSteps: 0, totalSteps: 1 } as const;
    expect(checkSchedule(good)).toBe(good);
    expect(() => checkSchedule({ ...good, type: 'step' as 'linear' })).toThrow('schedule is step');
    expect(() => checkSchedule({ ...good, baseLr: NaN })).toThrow('learningRate is NaN');
    expect(() => checkSchedule({ ...good, warmupSteps: 0.5 })).toThrow('warmupSteps is 0.5');
  });
});

describe('figures of a model', () => {
  it('start a run from its width', () => {
    expect(getLr(2000, 'llama')).toBeCloseTo(5e-4, 12);
    expect(getLr(192, 'llama')).toBeCloseTo(5e-4 * (2000 / 192) ** 0.781, 12);
    expect(getLr(4096, 'qwen')).toBeCloseTo(5e-4 * (2000 / 4096) ** 0.0775, 12);
    expect(() => getLr(0, 'qwen')).toThrow('hiddenSize 0');
    expect(() => getLr(1, 'gpt' as 'qwen')).toThrow('"gpt"');
  });

  it('count what an adapter of the embedded model holds', () => {
    const path = fileURLToPath(new URL('../../public/models/lorikeet-tiny/config.json', import.meta.url));
    const config = parseModelConfig(
      JSON.parse(readFileSync(path, 'utf8')) as Parameters<typeof parseModelConfig>[0],
    );
    const counted = (targetModules: string[]): number =>
      layoutAdapter(config, { ...DEFAULT_LORA, rank: 8, targetModules }).parameters;
    const shape = {
      hiddenSize: 192,
      intermediateSize: 512,
      numLayers: 6,
      numHeads: 6,
      numKvHeads: 2,
      headDim: 32,
      vocabSize: 4096,
    };
    const attention = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
    const mlp = ['gate_proj', 'up_proj', 'down_proj'];
    const ours = (extent: object): number => getLoraParamCount(shape, { rank: 8, ...extent });
    expect(ours({ trainUnembed: false })).toBe(counted([...attention, ...mlp]));
    expect(ours({ trainUnembed: false, trainMlp: false })).toBe(counted(attention));
    expect(ours({ trainAttn: false })).toBe(counted([...mlp, 'lm_head']));
  });
});

describe('batches', () => {
  it('take every item once in each epoch, in another order each time', () => {
    const whole = (min: number, max: number) => fc.integer({ min, max });
    const plans = fc.record({
      items: whole(1, 40),
      batchSize: whole(1, 9),
      epochs: whole(1, 3),
      shuffleSeed: whole(0, 99),
    });
    fc.assert(
      fc.property(plans, (plan: BatchPlan) => {
        const all = Array.from({ length: totalBatches(plan) }, (_, i) => batchItems(plan, i));
        for (let epoch = 0; epoch < plan.epochs; epoch++) {
          const perEpoch = all.length / plan.epochs;
          const taken = all.slice(epoch * perEpoch, (epoch + 1) * perEpoch).flat();
          expect(taken.sort((a, b) => a - b)).toEqual(Array.from({ length: plan.items }, (_, i) => i));
        }
      }),
    );
    const plan = { items: 20, batchSize: 20, epochs: 2, shuffleSeed: 1 };
    expect(batchItems(plan, 0)).not.toEqual(batchItems(plan, 1));
    expect(batchItems(plan, 0)).not.toEqual(batchItems({ ...plan, shuffleSeed: 2 }, 0));
  });
});

describe('datums', () => {
  it('shift the targets and train the completion', () => {
    expect(completionDatum([1, 2], [3, 4])).toEqual({
      modelInput: { chunks: [{ type: 'encoded_text', tokens: [1, 2, 3] }] },
      lossFnInputs: { targetTokens: [2, 3, 4], weights: Float32Array.of(0, 1, 1) },
    });
    expect(() => completionDatum([], [1])).toThrow('no tokens');
    const modelInput = { chunks: [{ type: 'encoded_text' as const, tokens: [1, 2] }] };
    expect(() => supervisedDatum({ modelInput, weights: Float32Array.of(1) })).toThrow(
      '2 tokens and 1 weights',
    );
  });

  it('have a digest that tells any change', async () => {
    const rows = [completionDatum([1, 2], [3])];
    const digest = await dataDigest(rows);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await dataDigest([completionDatum([1, 2], [3])])).toBe(digest);
    expect(await dataDigest([completionDatum([1], [2, 3])])).not.toBe(digest);
    expect(await dataDigest([...rows, ...rows])).not.toBe(digest);
  });
});
