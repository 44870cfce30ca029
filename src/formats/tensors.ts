/** Named tensors in a file or a set of files, read one at a time. */

/** The dtypes that the engine computes with; others are carried by name and refused by their user. */
export type FloatDtype = 'F32' | 'F16' | 'BF16';

export interface TensorInfo {
  readonly name: string;
  /** The safetensors spelling, such as `BF16` or `I64`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** Random access to tensors by name; raw little-endian bytes as they lie in the file. */
export interface TensorSource {
  list(): readonly TensorInfo[];
  get(name: string): TensorInfo | undefined;
  /** The raw bytes of one tensor. Throws when there is none of that name. */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;
}
