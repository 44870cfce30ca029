/** The few names that a PyTorch file may use, and what their arguments must be. Names are compared, never looked up. */
import { isItemTuple, isTensorItem, PICKLE_LIMITS, Storage, Tag, type Item } from './pickle-stack.ts';
import { STORAGE_CLASSES, type TorchDtype, type TorchTensor } from './torch-values.ts';

/** A tensor as its pickle describes it: a view of a storage. */
export interface TensorView {
  storage: Storage;
  offset: number;
  shape: readonly number[];
  strides: readonly number[];
}

/** Throws with the problem and its place in the file. */
export type Fail = (problem: string) => never;

export const ORDERED_DICT = 'collections.OrderedDict';
export const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
export const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';
export const SIZE = 'torch.Size';

const STORAGES: ReadonlyMap<string, TorchDtype> = new Map(
  Object.entries(STORAGE_CLASSES).map(([dtype, name]) => [`torch.${name}`, dtype as TorchDtype]),
);

/** Everything that GLOBAL may name. */
export const TAGS: ReadonlySet<string> = new Set([
  ORDERED_DICT,
  REBUILD_TENSOR,
  REBUILD_PARAMETER,
  SIZE,
  ...STORAGES.keys(),
]);

export function isEmptyDict(item: Item | undefined): boolean {
  return item instanceof Map && item.size === 0;
}

function size(item: Item | undefined, what: string, fail: Fail): number {
  if (typeof item === 'bigint' && item >= 0n && item <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(item);
  return fail(`${what} of a tensor is not a whole number from 0`);
}

function sizes(item: Item | undefined, what: string, fail: Fail): number[] {
  if (!isItemTuple(item) || item.items.length > PICKLE_LIMITS.depth) {
    return fail(`${what} of a tensor is not a short tuple`);
  }
  return item.items.map((dim) => size(dim, what, fail));
}

/** The arguments of `_rebuild_tensor_v2`: storage, offset, shape, strides, requires_grad, hooks. */
export function tensorView(args: readonly Item[], fail: Fail): TensorView {
  const [storage, offset, shape, strides, requiresGrad, hooks] = args;
  if (args.length !== 6 || !(storage instanceof Storage) || !isEmptyDict(hooks)) {
    return fail('a tensor is described in an unknown way');
  }
  if (requiresGrad !== false) fail('a tensor requires gradients, which saved state does not');
  const view = {
    storage,
    offset: size(offset, 'the offset', fail),
    shape: sizes(shape, 'the shape', fail),
    strides: sizes(strides, 'the strides', fail),
  };
  if (view.shape.length !== view.strides.length) {
    fail('the shape and the strides of a tensor differ in length');
  }
  return view;
}

/** The arguments of `_rebuild_parameter`: a tensor, requires_grad (which a parameter has by nature), hooks. */
export function parameterTensor(args: readonly Item[], fail: Fail): TorchTensor {
  const [data, requiresGrad, hooks] = args;
  const plain = args.length === 3 && typeof requiresGrad === 'boolean' && isEmptyDict(hooks);
  return plain && isTensorItem(data) ? data : fail('a parameter is described in an unknown way');
}

/** A reference to a storage: `('storage', class, key, location, numel)`. Where it was (`cuda:0`) does not matter here. */
export function storageOf(items: readonly Item[], fail: Fail): Storage {
  const [kind, type, key, location, numel] = items;
  const dtype = type instanceof Tag ? STORAGES.get(type.name) : undefined;
  if (items.length !== 5 || kind !== 'storage' || dtype === undefined || typeof location !== 'string') {
    return fail('a reference to a storage has an unknown form');
  }
  if (typeof key !== 'string' || !/^(0|[1-9]\d{0,8})$/.test(key)) {
    return fail(
      `a storage has the key ${typeof key === 'string' ? JSON.stringify(key.slice(0, 40)) : typeof key}`,
    );
  }
  return new Storage(key, dtype, size(numel, 'the storage', fail));
}
