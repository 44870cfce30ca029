import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StudioError } from '../errors.ts';
import * as ad from './index.ts';

type F = (x: Float64Array, y: Float64Array) => ad.DiffArray;

/** Central differences in float64, by every element of both arguments. */
function numeric(f: F, x: Float64Array, y: Float64Array): number[] {
  const h = 1e-6;
  const at = (a: Float64Array, b: Float64Array): number => f(a, b).values[0] ?? NaN;
  const moved = (source: Float64Array, i: number, by: number): Float64Array => {
    const copy = Float64Array.from(source);
    copy[i] = (copy[i] ?? 0) + by;
    return copy;
  };
  return [
    ...Array.from(x, (_, i) => (at(moved(x, i, h), y) - at(moved(x, i, -h), y)) / (2 * h)),
    ...Array.from(y, (_, i) => (at(x, moved(y, i, h)) - at(x, moved(y, i, -h))) / (2 * h)),
  ];
}

const FUNCTIONS: Record<string, F> = {
  add: (x, y) => ad.sum(ad.square(ad.add(x, y))),
  sub: (x, y) => ad.sum(ad.square(ad.sub(x, y))),
  mul: (x, y) => ad.sum(ad.mul(x, y)),
  div: (x, y) => ad.sum(ad.div(x, ad.add(ad.square(y), 0.5))),
  neg: (x) => ad.sum(ad.neg(ad.square(x))),
  exp: (x) => ad.sum(ad.exp(x)),
  log: (x) => ad.sum(ad.log(ad.add(ad.square(x), 0.3))),
  sigmoid: (x, y) => ad.sum(ad.mul(ad.sigmoid(x), y)),
  logsigmoid: (x, y) => ad.sum(ad.mul(ad.logsigmoid(ad.mul(x, 4)), y)),
  abs: (x) => ad.sum(ad.abs(x)),
  min: (x, y) => ad.sum(ad.square(ad.min(x, y))),
  max: (x, y) => ad.sum(ad.square(ad.max(x, y))),
  clamp: (x, y) => ad.sum(ad.mul(ad.clamp(x, -0.5, 0.7), y)),
  where: (x, y) => ad.sum(ad.square(ad.where([1, 0, 1, 0], x, y))),
  mean: (x, y) => ad.square(ad.mean(ad.mul(x, y))),
  index: (x, y) => ad.sum(ad.mul(ad.index(x, [3, 0, 0]), ad.index(y, 1))),
  concat: (x, y) => ad.sum(ad.square(ad.concat([x, 2, y, x]))),
  scalars: (x, y) => ad.div(ad.mul(ad.sum(x), ad.sum(y)), ad.add(ad.sum(ad.square(x)), 1)),
  elastic: (x) => ad.elastic(x, 0.7, 0.3),
  entropy: (x) => ad.entropy(ad.neg(ad.abs(x)), 2),
  kl: (x, y) => ad.kl(x, y, 0.5),
};

// Away from the corners of abs, min, max and clamp, where central differences say nothing.
const number = fc.double({ min: 0.01, max: 1.9, noNaN: true }).map((v) => v - 0.98);
const vector = fc.array(number, { minLength: 4, maxLength: 4 }).map((list) => Float64Array.from(list));
const clear = (x: Float64Array, y: Float64Array): boolean =>
  x.every((v, i) => [0, -0.5, 0.7, y[i] ?? 0].every((corner) => Math.abs(v - corner) > 1e-3));

describe.each(Object.entries(FUNCTIONS))('%s', (_, f) => {
  it('has the gradient of finite differences', () => {
    fc.assert(
      fc.property(vector, vector, (a, b) => {
        fc.pre(clear(a, b));
        const [x, y] = [ad.leaf(a), ad.leaf(b)];
        const got = ad.backward(f(x, y), [x, y]).flatMap((g) => [...g]);
        const wanted = numeric(f, Float64Array.from(a), Float64Array.from(b));
        got.forEach((value, i) => {
          expect(value).toBeCloseTo(wanted[i] ?? NaN, 4);
        });
      }),
      { numRuns: 40 },
    );
  });
});

describe('the tape', () => {
  it('stops gradients, and gives zeros for what a value does not depend on', () => {
    const x = ad.leaf(Float32Array.of(1, 2));
    const y = ad.leaf(Float32Array.of(3, 4));
    const loss = ad.sum(ad.mul(x, ad.stopGradient(x)));
    expect(ad.backward(loss, [x, y])).toEqual([Float32Array.of(1, 2), Float32Array.of(0, 0)]);
  });

  it('is stable far from zero', () => {
    const x = ad.leaf(Float32Array.of(-800, 800, 0));
    const value = ad.logsigmoid(x);
    expect([...value.values]).toEqual([-800, 0, -Math.LN2]);
    expect(ad.backward(ad.sum(value), [x])).toEqual([Float32Array.of(1, 0, 0.5)]);
    expect([...ad.sigmoid(x).values]).toEqual([0, 1, 0.5]);
  });

  it('chooses without being poisoned by what is not chosen', () => {
    const x = ad.leaf(Float32Array.of(0, 2));
    const loss = ad.sum(ad.where([false, true], ad.log(x), 1));
    expect(loss.values[0]).toBeCloseTo(1 + Math.log(2), 12);
  });

  it('follows PyTorch at the corners', () => {
    const x = ad.leaf(Float32Array.of(0.5, 1));
    expect(ad.backward(ad.sum(ad.clamp(x, 0.5, 0.9)), [x])).toEqual([Float32Array.of(1, 0)]);
    expect(ad.backward(ad.sum(ad.max(x, 0.5)), [x])).toEqual([Float32Array.of(0.5, 1)]);
    expect(ad.backward(ad.sum(ad.abs(ad.sub(x, 1))), [x])).toEqual([Float32Array.of(-1, 0)]);
  });

  it('handles long chains without running out of stack', () => {
    const x = ad.leaf(Float32Array.of(1));
    let y: ad.DiffInput = x;
    for (let i = 0; i < 50_000; i++) y = ad.add(y, 1);
    expect(ad.backward(y as ad.DiffArray, [x])).toEqual([Float32Array.of(1)]);
  });

  it('refuses what does not fit', () => {
    const x = ad.leaf(Float32Array.of(1, 2));
    expect(() => ad.add(x, [1, 2, 3])).toThrow(StudioError);
    expect(() => ad.backward(ad.add(x, 1), [x])).toThrow('Only a scalar');
    expect(() => ad.backward(ad.sum(x), [Float32Array.of(1)])).toThrow('no leaf');
    expect(() => ad.index(x, 2)).toThrow('no position 2');
    expect(() => ad.mean([])).toThrow('no mean');
    expect(() => ad.where([true], x, 0)).toThrow('cannot choose');
  });

  it('measures the gradient of a term', () => {
    const x = ad.leaf(Float32Array.of(3, 4));
    expect(ad.gradientNorm(ad.mul(ad.l2(x), 0.5), [x])).toBeCloseTo(5, 6);
    expect(ad.l1(x, 2).values[0]).toBe(14);
    expect(ad.kl(x, x).values[0]).toBe(0);
  });

  it('gives the gradient of DPO in closed form', () => {
    const [chosen, rejected] = [ad.leaf(Float32Array.of(-1, -2)), ad.leaf(Float32Array.of(-3, -0.5))];
    const beta = 0.1;
    const margin = ad.sub(ad.sub(ad.sum(chosen), -2.5), ad.sub(ad.sum(rejected), -3));
    const loss = ad.neg(ad.logsigmoid(ad.mul(margin, beta)));
    const m = beta * (-3 + 2.5 - (-3.5 + 3));
    const slope = -beta / (1 + Math.exp(m));
    const [gc, gr] = ad.backward(loss, [chosen, rejected]);
    for (const g of gc ?? []) expect(g).toBeCloseTo(slope, 7);
    for (const g of gr ?? []) expect(g).toBeCloseTo(-slope, 7);
  });
});
