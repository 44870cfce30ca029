/** What lies on the stack of the pickle reader, and the bounds on it. Nothing here is ever called or looked up by a name from a file. */
import { StudioError } from '../errors.ts';
import type { TorchDtype, TorchKey, TorchTensor, TorchValue } from './torch-values.ts';

export const PICKLE_LIMITS = {
  ops: 10_000_000,
  /** Values on the stack at once. */
  stack: 1_000_000,
  memoIndex: 1_000_000,
  /** Nested marks while reading, nested containers in the result. */
  depth: 64,
  stringBytes: 2 ** 20,
  tensors: 100_000,
  /** What the values may take in memory, by the estimates below. */
  bytes: 64 * 2 ** 20,
  /** Values in the result, counted as often as they are referred to. */
  expanded: 10_000_000,
} as const;

/** Estimates of what a value takes. */
export const COST = { small: 24, list: 48, tuple: 88, dict: 192, slot: 8, member: 48, tensor: 160 } as const;

/** Something that a file names: a class or function of Python, known here by its name alone. */
export class Tag {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A block of memory that tensors lie in. */
export class Storage {
  readonly key: string;
  readonly dtype: TorchDtype;
  readonly numel: number;

  constructor(key: string, dtype: TorchDtype, numel: number) {
    this.key = key;
    this.dtype = dtype;
    this.numel = numel;
  }
}

export interface ItemTuple {
  readonly kind: 'tuple';
  readonly items: readonly Item[];
}
export type ItemDict = Map<TorchKey, Item>;
export type Item =
  null | boolean | bigint | number | string | TorchTensor | ItemTuple | Item[] | ItemDict | Tag | Storage;

export function isItemTuple(item: Item | undefined): item is ItemTuple {
  return typeof item === 'object' && item !== null && 'kind' in item && item.kind === 'tuple';
}

export function isTensorItem(item: Item | undefined): item is TorchTensor {
  return typeof item === 'object' && item !== null && 'kind' in item && item.kind === 'tensor';
}

/** The error of everything that is wrong with a PyTorch file. */
export function torchError(file: string, problem: string, fix?: string): StudioError {
  return new StudioError({
    code: 'TORCH_FILE_INVALID',
    message: `${file}: ${problem}.`,
    fix:
      fix ??
      'The file is damaged, or holds more than tensors and plain values. Get it again from its source.',
  });
}

interface Measure {
  depth: number;
  size: number;
}

function childrenOf(item: Item): readonly Item[] {
  if (item instanceof Map) return [...item.values()];
  if (Array.isArray(item)) return item;
  return isItemTuple(item) ? item.items : [];
}

/**
 * Whether a result is made of values alone, nests within the bounds and holds no cycle. Shared values are measured
 * once and counted each time, so that a file cannot unfold into more than it says.
 */
export function isPlainValue(file: string, root: Item): root is TorchValue {
  const measured = new Map<Item, Measure | 'open'>();
  const measure = (item: Item, depth: number): Measure => {
    if (item instanceof Tag) throw torchError(file, `it holds ${item.name} as a value`);
    if (item instanceof Storage) throw torchError(file, 'it holds a storage that is no tensor');
    if (typeof item !== 'object' || item === null) return { depth: 0, size: 1 };
    const known = measured.get(item);
    if (known === 'open') throw torchError(file, 'a value contains itself');
    const below = known?.depth ?? 0;
    if (depth + below > PICKLE_LIMITS.depth) {
      throw torchError(file, `it is nested more than ${String(PICKLE_LIMITS.depth)} deep`);
    }
    if (known !== undefined) return known;
    measured.set(item, 'open');
    const result: Measure = { depth: 0, size: 1 };
    for (const child of childrenOf(item)) {
      const part = measure(child, depth + 1);
      result.depth = Math.max(result.depth, part.depth + 1);
      result.size += part.size;
    }
    if (result.size > PICKLE_LIMITS.expanded) throw torchError(file, 'its values repeat without bound');
    measured.set(item, result);
    return result;
  };
  measure(root, 0);
  return true;
}
