/**
 * The values that PyTorch files hold. Python tells 1 from 1.0: here an int is a bigint and a float is a number. Dicts are
 * Maps, so that no key of a file can touch an object's prototype.
 */

/** Dtypes of PyTorch's storages in the spelling of safetensors, with their bytes per element. */
export const TORCH_ITEM_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type TorchDtype = keyof typeof TORCH_ITEM_BYTES;

/** PyTorch's names of its storages. */
export const STORAGE_CLASSES: Readonly<Record<TorchDtype, string>> = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  I32: 'IntStorage',
  I16: 'ShortStorage',
  I8: 'CharStorage',
  U8: 'ByteStorage',
  BOOL: 'BoolStorage',
};

export interface TorchTensor {
  readonly kind: 'tensor';
  readonly dtype: TorchDtype;
  readonly shape: readonly number[];
  /** The elements, row-major and little-endian; read or made when asked for. */
  bytes(): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;
}

export interface TorchTuple {
  readonly kind: 'tuple';
  readonly items: readonly TorchValue[];
}

export type TorchKey = string | bigint;
export type TorchDict = Map<TorchKey, TorchValue>;
export type TorchValue =
  null | boolean | bigint | number | string | TorchTensor | TorchTuple | TorchValue[] | TorchDict;

/** A tuple of values. */
export function tuple(...items: TorchValue[]): TorchTuple {
  return { kind: 'tuple', items };
}

/** A dict with these members, in this order. */
export function dict(members: readonly (readonly [TorchKey, TorchValue])[]): TorchDict {
  return new Map(members);
}

/** A float32 tensor over values in memory. */
export function floatTensor(shape: readonly number[], values: Float32Array<ArrayBuffer>): TorchTensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { kind: 'tensor', dtype: 'F32', shape, bytes: () => bytes };
}

export function isTensor(value: TorchValue | undefined): value is TorchTensor {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'tensor';
}

export function isTuple(value: TorchValue | undefined): value is TorchTuple {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'tuple';
}

/** What a value is, in Python's words, for messages. */
export function typeName(value: TorchValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (typeof value === 'boolean') return 'a bool';
  if (typeof value === 'bigint') return 'an int';
  if (typeof value === 'number') return 'a float';
  if (typeof value === 'string') return 'a str';
  if (value instanceof Map) return 'a dict';
  if (Array.isArray(value)) return 'a list';
  return value.kind === 'tuple' ? 'a tuple' : 'a tensor';
}

/** How many elements a shape has. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}
