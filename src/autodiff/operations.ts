/** The functions of the tape. Each takes values of one length, or scalars beside them. */
import { invalid, makeNode, toNode, type DiffArray, type DiffInput } from './tape.ts';

/** Value and derivative of a function of one number. */
type Unary = (x: number) => readonly [value: number, derivative: number];

function map(input: DiffInput, f: Unary): DiffArray {
  const x = toNode(input);
  const derivatives = new Float64Array(x.values.length);
  const values = x.values.map((value, i) => {
    const [y, dy] = f(value);
    derivatives[i] = dy;
    return y;
  });
  return makeNode(values, [x], (g, [gx]) => {
    g.forEach((value, i) => {
      if (gx !== undefined) gx[i] = (gx[i] ?? 0) + value * (derivatives[i] ?? 0);
    });
  });
}

/** Value and both derivatives of a function of two numbers. */
type Binary = (a: number, b: number) => readonly [value: number, byA: number, byB: number];

function zip(left: DiffInput, right: DiffInput, f: Binary): DiffArray {
  const [a, b] = [toNode(left), toNode(right)];
  const [na, nb] = [a.values.length, b.values.length];
  if (na !== nb && na !== 1 && nb !== 1) {
    throw invalid(`Values of the lengths ${String(na)} and ${String(nb)} cannot be combined.`);
  }
  const n = na === 1 ? nb : na;
  const values = new Float64Array(n);
  const byA = new Float64Array(n);
  const byB = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const [y, da, db] = f(a.values[na === 1 ? 0 : i] ?? NaN, b.values[nb === 1 ? 0 : i] ?? NaN);
    values[i] = y;
    byA[i] = da;
    byB[i] = db;
  }
  return makeNode(values, [a, b], (g, [ga, gb]) => {
    for (let i = 0; i < n; i++) {
      const [ia, ib] = [na === 1 ? 0 : i, nb === 1 ? 0 : i];
      if (ga !== undefined) ga[ia] = (ga[ia] ?? 0) + (g[i] ?? 0) * (byA[i] ?? 0);
      if (gb !== undefined) gb[ib] = (gb[ib] ?? 0) + (g[i] ?? 0) * (byB[i] ?? 0);
    }
  });
}

export const add = (a: DiffInput, b: DiffInput): DiffArray => zip(a, b, (x, y) => [x + y, 1, 1]);
export const sub = (a: DiffInput, b: DiffInput): DiffArray => zip(a, b, (x, y) => [x - y, 1, -1]);
export const mul = (a: DiffInput, b: DiffInput): DiffArray => zip(a, b, (x, y) => [x * y, y, x]);
export const div = (a: DiffInput, b: DiffInput): DiffArray =>
  zip(a, b, (x, y) => [x / y, 1 / y, -x / (y * y)]);
/** The smaller; of equals, half of the gradient goes to each, as in PyTorch. */
export const min = (a: DiffInput, b: DiffInput): DiffArray =>
  zip(a, b, (x, y) => [Math.min(x, y), x < y ? 1 : x === y ? 0.5 : 0, y < x ? 1 : x === y ? 0.5 : 0]);
/** The larger; of equals, half of the gradient goes to each, as in PyTorch. */
export const max = (a: DiffInput, b: DiffInput): DiffArray =>
  zip(a, b, (x, y) => [Math.max(x, y), x > y ? 1 : x === y ? 0.5 : 0, y > x ? 1 : x === y ? 0.5 : 0]);

export const neg = (a: DiffInput): DiffArray => map(a, (x) => [-x, -1]);
export const exp = (a: DiffInput): DiffArray => map(a, (x) => [Math.exp(x), Math.exp(x)]);
export const log = (a: DiffInput): DiffArray => map(a, (x) => [Math.log(x), 1 / x]);
export const square = (a: DiffInput): DiffArray => map(a, (x) => [x * x, 2 * x]);
/** Its derivative at 0 is 0. */
export const abs = (a: DiffInput): DiffArray => map(a, (x) => [Math.abs(x), Math.sign(x)]);

/** 1 / (1 + e^-x), without overflow on either side. */
const sigma = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

export const sigmoid = (a: DiffInput): DiffArray => map(a, (x) => [sigma(x), sigma(x) * sigma(-x)]);
/** log σ(x) = min(x, 0) − log(1 + e^−|x|). */
export const logsigmoid = (a: DiffInput): DiffArray =>
  map(a, (x) => [Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))), sigma(-x)]);

/** Kept between low and high; no gradient outside, the whole of it at the edges, as in PyTorch. */
export const clamp = (a: DiffInput, low: number, high: number): DiffArray =>
  map(a, (x) => [Math.min(Math.max(x, low), high), x >= low && x <= high ? 1 : 0]);

/** `a` where the condition is true (not 0), else `b`. */
export function where(condition: ArrayLike<number | boolean>, a: DiffInput, b: DiffInput): DiffArray {
  const [x, y] = [toNode(a), toNode(b)];
  const n = condition.length;
  for (const { values } of [x, y]) {
    if (values.length !== n && values.length !== 1) {
      throw invalid(`A condition of ${String(n)} values cannot choose among ${String(values.length)}.`);
    }
  }
  const chosen = Float64Array.from({ length: n }, (_, i) =>
    condition[i] === true || Number(condition[i]) !== 0 ? 1 : 0,
  );
  return add(
    mul0(x, chosen),
    mul0(
      y,
      chosen.map((c) => 1 - c),
    ),
  );
}

/** A product with 0 or 1 that is 0 also where the value is infinite or NaN. */
const mul0 = (a: DiffInput, mask: Float64Array): DiffArray => zip(a, mask, (x, m) => [m === 0 ? 0 : x, m, 0]);

/** Σ, one value. */
export function sum(a: DiffInput): DiffArray {
  const x = toNode(a);
  const total = x.values.reduce((s, v) => s + v, 0);
  return makeNode(Float64Array.of(total), [x], (g, [gx]) => {
    gx?.forEach((value, i) => {
      gx[i] = value + (g[0] ?? 0);
    });
  });
}

/** The mean; of no values it is an error, as it would be NaN. */
export function mean(a: DiffInput): DiffArray {
  const x = toNode(a);
  if (x.values.length === 0) throw invalid('There is no mean of no values.');
  return div(sum(x), x.values.length);
}

/** The values at the given positions, which may repeat. */
export function index(a: DiffInput, positions: number | readonly number[]): DiffArray {
  const x = toNode(a);
  const list = typeof positions === 'number' ? [positions] : positions;
  const values = Float64Array.from(list, (i) => {
    const value = x.values[i];
    if (value === undefined)
      throw invalid(`There is no position ${String(i)} among ${String(x.values.length)} values.`);
    return value;
  });
  return makeNode(values, [x], (g, [gx]) => {
    list.forEach((position, i) => {
      if (gx !== undefined) gx[position] = (gx[position] ?? 0) + (g[i] ?? 0);
    });
  });
}

/** One behind another. */
export function concat(inputs: readonly DiffInput[]): DiffArray {
  const nodes = inputs.map(toNode);
  const values = new Float64Array(nodes.reduce((n, node) => n + node.values.length, 0));
  let at = 0;
  for (const node of nodes) {
    values.set(node.values, at);
    at += node.values.length;
  }
  return makeNode(values, nodes, (g, into) => {
    let from = 0;
    for (const gradient of into) {
      gradient.forEach((value, i) => {
        gradient[i] = value + (g[from + i] ?? 0);
      });
      from += gradient.length;
    }
  });
}

/** The value as a constant: nothing flows through it. */
export const stopGradient = (a: DiffInput): DiffArray =>
  makeNode(Float64Array.from(toNode(a).values), [], null);
