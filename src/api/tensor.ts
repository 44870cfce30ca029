/**
 * Tensors as callers write them (arrays, nested arrays, TensorData, CSR) and as backends take them: dense, float32 or
 * int32, finite.
 */
import { BadRequestError } from './errors.ts';
import { MAX_TOKEN_ID } from './model-input.ts';
import type { LossInput, TensorData } from './types.ts';

/** data: [prod(shape)], row-major. */
export interface DenseTensor {
  readonly dtype: 'int64' | 'float32';
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** A CSR tensor is written out; one that claims more than this is refused. */
const MAX_ELEMENTS = 2 ** 28;

function fail(what: string, why: string): never {
  throw new BadRequestError({ message: `${what} ${why}.` });
}

function isTensorData(value: LossInput): value is TensorData {
  return typeof value === 'object' && 'dtype' in value && 'data' in value;
}

function isNested(value: LossInput): value is readonly (readonly number[])[] {
  return Array.isArray(value) && value.length > 0 && Array.isArray(value[0]);
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function checkShape(shape: readonly number[], what: string): void {
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) fail(what, `has the shape [${shape.join(', ')}]`);
  }
  if (product(shape) > MAX_ELEMENTS) fail(what, `has the shape [${shape.join(', ')}], which is too large`);
}

/** Copies numbers into the dtype. int64 holds token ids here, so int32 is wide enough. */
function copyNumbers(
  source: ArrayLike<number | bigint>,
  dtype: DenseTensor['dtype'],
  what: string,
): Float32Array | Int32Array {
  const data = dtype === 'int64' ? new Int32Array(source.length) : new Float32Array(source.length);
  for (let i = 0; i < source.length; i++) {
    const value = Number(source[i]);
    if (dtype === 'int64') {
      if (!Number.isInteger(value) || value < 0 || value > MAX_TOKEN_ID) {
        fail(what, `has ${String(source[i])} at position ${String(i)}, which is no token id`);
      }
    } else if (!Number.isFinite(value)) {
      fail(what, `has ${String(source[i])} at position ${String(i)}; only finite numbers are taken`);
    } else if (!Number.isFinite(Math.fround(value))) {
      fail(what, `has ${String(source[i])} at position ${String(i)}, which float32 cannot hold`);
    }
    data[i] = value;
  }
  return data;
}

function fromCsr(tensor: TensorData, dtype: DenseTensor['dtype'], what: string): DenseTensor {
  const { shape, sparseCrowIndices: crow = [], sparseColIndices: cols = [] } = tensor;
  const [rows, columns] = shape ?? [];
  if (rows === undefined || columns === undefined || shape?.length !== 2)
    fail(what, 'is sparse and has no 2-D shape');
  checkShape(shape, what);
  const values = copyNumbers(tensor.data, dtype, what);
  if (
    crow.length !== rows + 1 ||
    crow[0] !== 0 ||
    crow.at(-1) !== values.length ||
    cols.length !== values.length
  ) {
    fail(what, 'has sparse indices that do not fit its shape and values');
  }
  const data = dtype === 'int64' ? new Int32Array(rows * columns) : new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const [from = 0, to = 0] = [crow[row], crow[row + 1]];
    if (!Number.isInteger(from) || to < from || to > values.length)
      fail(what, 'has sparse rows out of order');
    for (let i = from; i < to; i++) {
      const column = cols[i] ?? -1;
      if (!Number.isInteger(column) || column < 0 || column >= columns) {
        fail(what, `has the sparse column ${String(column)} of ${String(columns)}`);
      }
      data[row * columns + column] = values[i] ?? 0;
    }
  }
  return { dtype, shape: [rows, columns], data };
}

/**
 * A loss input as a dense tensor of the dtype its key has. Throws BadRequestError for ragged nesting, non-finite
 * numbers, token ids out of range, and shapes that do not fit the data.
 */
export function toDense(value: LossInput, dtype: DenseTensor['dtype'], what: string): DenseTensor {
  if (value === null || typeof value !== 'object') fail(what, `is ${String(value)}, not numbers`);
  if (isTensorData(value)) {
    if (value.dtype !== dtype) fail(what, `has dtype ${value.dtype}, not ${dtype}`);
    if (value.sparseCrowIndices !== undefined || value.sparseColIndices !== undefined) {
      return fromCsr(value, dtype, what);
    }
    const shape = value.shape ?? [value.data.length];
    checkShape(shape, what);
    if (product(shape) !== value.data.length) {
      fail(what, `has ${String(value.data.length)} values for the shape [${shape.join(', ')}]`);
    }
    return { dtype, shape: [...shape], data: copyNumbers(value.data, dtype, what) };
  }
  if (isNested(value)) {
    const columns = value[0]?.length ?? 0;
    value.forEach((row, i) => {
      if (!Array.isArray(row) || row.length !== columns) {
        fail(
          what,
          `is ragged: row 0 has ${String(columns)} values, row ${String(i)} has ${String(row.length)}`,
        );
      }
    });
    return { dtype, shape: [value.length, columns], data: copyNumbers(value.flat(), dtype, what) };
  }
  const flat = value as ArrayLike<number>;
  if (typeof flat.length !== 'number') fail(what, 'is no array');
  return { dtype, shape: [flat.length], data: copyNumbers(flat, dtype, what) };
}

/** Compressed sparse rows of a 2-D tensor, or null where the dense form is not larger: (rows+1) + 2·nnz < rows·cols. */
export function toCsr(tensor: DenseTensor): { values: number[]; crow: number[]; cols: number[] } | null {
  const [rows, columns] = tensor.shape;
  if (tensor.shape.length !== 2 || rows === undefined || columns === undefined) return null;
  const values: number[] = [];
  const cols: number[] = [];
  const crow = [0];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = tensor.data[row * columns + column] ?? 0;
      if (value === 0) continue;
      values.push(value);
      cols.push(column);
    }
    crow.push(values.length);
  }
  return rows + 1 + 2 * values.length < rows * columns ? { values, crow, cols } : null;
}

/** What callers get: a dense tensor as TensorData. */
export const toTensorData = (tensor: DenseTensor): TensorData => ({
  data: tensor.data,
  dtype: tensor.dtype,
  shape: [...tensor.shape],
});
