/** Writes safetensors in the form of the upstream library: wide dtypes first, then by name; header padded to 8. */
import { StudioError } from '../errors.ts';
import { compareBytes, inPieces, type FileEntry } from './file-entry.ts';
import { DTYPE_BITS } from './safetensors-header.ts';

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The raw little-endian bytes; called once per pass over the file, so they may be made on the fly. */
  bytes(): Uint8Array<ArrayBuffer>;
}

function byteLengthOf(tensor: TensorToWrite): number {
  const bits = DTYPE_BITS.get(tensor.dtype);
  const total = tensor.shape.reduce((product, dim) => product * dim, bits ?? NaN);
  if (!Number.isSafeInteger(total) || total % 8 !== 0) {
    throw new StudioError({
      code: 'INTERNAL',
      message: `Tensor ${tensor.name} (${tensor.dtype} [${tensor.shape.join(', ')}]) cannot be written.`,
      fix: 'This is a bug in Lorikeet. Please report it with this message.',
    });
  }
  return total / 8;
}

/** A safetensors file as an entry: the size is known at once, the tensors are asked for one at a time. */
export function safetensorsEntry(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): FileEntry {
  const ordered = tensors.map((tensor) => ({ tensor, byteLength: byteLengthOf(tensor) }));
  ordered.sort(
    (a, b) =>
      (DTYPE_BITS.get(b.tensor.dtype) ?? 0) - (DTYPE_BITS.get(a.tensor.dtype) ?? 0) ||
      compareBytes(a.tensor.name, b.tensor.name),
  );
  let end = 0;
  const members = ordered.map(({ tensor, byteLength }) => {
    const start = end;
    end += byteLength;
    const entry = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [start, end] };
    return `${JSON.stringify(tensor.name)}:${JSON.stringify(entry)}`;
  });
  if (Object.keys(metadata).length > 0) members.unshift(`"__metadata__":${JSON.stringify(metadata)}`);
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const header = new Uint8Array(8 + Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  header.set(json, 8);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - 8), true);

  function* chunks(): Generator<Uint8Array<ArrayBuffer>> {
    yield header;
    for (const { tensor } of ordered) yield* inPieces(tensor.bytes());
  }
  return { path, size: header.byteLength + end, chunks };
}
