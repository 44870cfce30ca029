/** Number arrays as raw little-endian bytes, which is how every array travels in this protocol. */
import { APIResponseValidationError } from '../errors.ts';

/** DType of the wire. */
export const DTYPE = { unspecified: 0, float32: 1, int64: 2, int32: 3, bfloat16: 4 } as const;

type Bytes = Uint8Array<ArrayBuffer>;

function fill(count: number, size: number, put: (view: DataView, i: number) => void): Bytes {
  const view = new DataView(new ArrayBuffer(count * size));
  for (let i = 0; i < count; i++) put(view, i);
  return new Uint8Array(view.buffer);
}

export const float32Bytes = (values: ArrayLike<number>): Bytes =>
  fill(values.length, 4, (view, i) => {
    view.setFloat32(4 * i, values[i] ?? 0, true);
  });
export const int32Bytes = (values: ArrayLike<number>): Bytes =>
  fill(values.length, 4, (view, i) => {
    view.setInt32(4 * i, values[i] ?? 0, true);
  });
export const int64Bytes = (values: ArrayLike<number>): Bytes =>
  fill(values.length, 8, (view, i) => {
    view.setBigInt64(8 * i, BigInt(values[i] ?? 0), true);
  });

const SIZES: Readonly<Record<number, number>> = { 1: 4, 2: 8, 3: 4, 4: 2 };

function read(bytes: Uint8Array, size: number, get: (view: DataView, at: number) => number): number[] {
  if (bytes.byteLength % size !== 0) {
    throw new APIResponseValidationError({
      message: `An array of ${String(size)}-byte numbers has ${String(bytes.byteLength)} bytes.`,
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / size }, (_, i) => get(view, i * size));
}

const bfloat16 = new DataView(new ArrayBuffer(4));

export const readFloat32 = (bytes: Uint8Array): number[] =>
  read(bytes, 4, (view, at) => view.getFloat32(at, true));
export const readInt32 = (bytes: Uint8Array): number[] =>
  read(bytes, 4, (view, at) => view.getInt32(at, true));
export const readInt64 = (bytes: Uint8Array): number[] =>
  read(bytes, 8, (view, at) => Number(view.getBigInt64(at, true)));

/** bfloat16 widens to float32, int32 to int64. Throws for a dtype that the protocol has not. */
export function readArray(
  bytes: Uint8Array,
  dtype: number,
): { data: number[]; dtype: 'float32' | 'int64'; size: number } {
  const size = SIZES[dtype];
  if (size === undefined)
    throw new APIResponseValidationError({ message: `There is no dtype ${String(dtype)}.` });
  switch (dtype) {
    case DTYPE.float32:
      return { data: readFloat32(bytes), dtype: 'float32', size };
    case DTYPE.int64:
      return { data: readInt64(bytes), dtype: 'int64', size };
    case DTYPE.int32:
      return { data: readInt32(bytes), dtype: 'int64', size };
    default:
      return {
        data: read(bytes, 2, (view, at) => {
          bfloat16.setUint16(0, view.getUint16(at, true));
          bfloat16.setUint16(2, 0);
          return bfloat16.getFloat32(0);
        }),
        dtype: 'float32',
        size,
      };
  }
}
