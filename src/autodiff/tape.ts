/**
 * Reverse-mode differentiation of small losses: values with the recipe for their gradients. A value is a vector; a
 * vector of one is a scalar and goes with every length. Computed in float64, as losses add many small terms.
 */
import { StudioError } from '../errors.ts';

export interface DiffArray {
  /** [length] */
  readonly values: Float64Array;
  /** What it was computed from, and how the gradient of this reaches those. */
  readonly parents: readonly DiffArray[];
  /** Adds to the parents' gradients; null for leaves and constants. */
  readonly pull: ((gradient: Float64Array, into: readonly Float64Array[]) => void) | null;
  readonly [MARK]: true;
}

const MARK = Symbol('lorikeet.autodiff');

/** What the functions take: a computed value, a leaf, or constants. */
export type DiffInput = DiffArray | Float32Array | Float64Array | readonly number[] | number;

/** Arrays that were made leaves, so that a plain Float32Array can be handed to a loss and still be differentiated. */
const leaves = new WeakMap<object, DiffArray>();

export const isDiffArray = (value: unknown): value is DiffArray =>
  typeof value === 'object' && value !== null && MARK in value;

export const makeNode = (
  values: Float64Array,
  parents: readonly DiffArray[],
  pull: DiffArray['pull'],
): DiffArray => ({ values, parents, pull, [MARK]: true });

/** Makes an array a leaf: what is computed from it can be differentiated by it. Returns the same array. */
export function leaf<A extends Float32Array | Float64Array>(values: A): A {
  leaves.set(values, makeNode(Float64Array.from(values), [], null));
  return values;
}

/** The node of an input; arrays that are no leaves are constants. */
export function toNode(input: DiffInput): DiffArray {
  if (isDiffArray(input)) return input;
  if (typeof input === 'number') return makeNode(Float64Array.of(input), [], null);
  return leaves.get(input) ?? makeNode(Float64Array.from(input), [], null);
}

export function invalid(message: string): StudioError {
  return new StudioError({
    code: 'API_BAD_REQUEST',
    message,
    fix: 'Combine values of one length, or a scalar with any.',
  });
}

/** Parents before children, each once. Iterative: a sum over a long sequence can be a deep chain. */
function inOrder(root: DiffArray): DiffArray[] {
  const order: DiffArray[] = [];
  const seen = new Set<DiffArray>([root]);
  const stack: { node: DiffArray; next: number }[] = [{ node: root, next: 0 }];
  for (;;) {
    const top = stack.at(-1);
    if (top === undefined) return order;
    const parent = top.node.parents[top.next++];
    if (parent === undefined) {
      order.push(top.node);
      stack.pop();
    } else if (!seen.has(parent)) {
      seen.add(parent);
      stack.push({ node: parent, next: 0 });
    }
  }
}

/**
 * The gradients of a scalar by leaves, in float32 and in the order of the leaves; zeros for one that it does not depend
 * on. Throws API_BAD_REQUEST where the value is no scalar or an array is no leaf.
 */
export function backward(scalar: DiffArray, by: readonly (Float32Array | Float64Array)[]): Float32Array[] {
  if (scalar.values.length !== 1) {
    throw invalid(`Only a scalar can be differentiated; this has ${String(scalar.values.length)} values.`);
  }
  const gradients = new Map<DiffArray, Float64Array>();
  const gradientOf = (node: DiffArray): Float64Array => {
    const known = gradients.get(node);
    if (known !== undefined) return known;
    const fresh = new Float64Array(node.values.length);
    gradients.set(node, fresh);
    return fresh;
  };
  gradientOf(scalar)[0] = 1;
  for (const node of inOrder(scalar).reverse()) {
    node.pull?.(gradientOf(node), node.parents.map(gradientOf));
  }
  return by.map((array) => {
    const node = leaves.get(array);
    if (node === undefined) throw invalid('The gradient was asked for by an array that is no leaf.');
    return Float32Array.from(gradients.get(node) ?? new Float64Array(array.length));
  });
}
