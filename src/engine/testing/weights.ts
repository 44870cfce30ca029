/** Frozen weights for tests: packed as the loader packs them, with the values that the GPU will see. Tests only. */
import type { FloatDtype } from '../../formats/tensors.ts';
import type { BufferPool } from '../gpu/buffers.ts';
import { blockBytes, packBlocks, toFloat32 } from '../model/packing.ts';
import type { PackedWeight } from '../model/weights.ts';

/** Encodes values in a dtype (rounding by truncation for bf16, by way of the nearest f16). */
export function encode(values: Float32Array<ArrayBuffer>, dtype: FloatDtype): Uint8Array<ArrayBuffer> {
  if (dtype === 'F32') return new Uint8Array(values.slice().buffer);
  const bits = new Uint32Array(values.slice().buffer);
  const words = Uint16Array.from(bits, (word, index) =>
    dtype === 'BF16' ? word >>> 16 : halfBits(values[index] ?? 0),
  );
  return new Uint8Array(words.buffer);
}

function halfBits(value: number): number {
  const sign = value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | (((exponent + 15) << 10) + Math.round((size / 2 ** exponent - 1) * 1024));
}

/** Packs a matrix [out, in] into `parts` buffers; `values` holds what the dtype kept of the input. */
export function packedWeight(
  pool: BufferPool,
  name: string,
  matrix: Float32Array<ArrayBuffer>,
  { out, in: inSize, dtype, parts = 1 }: { out: number; in: number; dtype: FloatDtype; parts?: number },
): { weight: PackedWeight; values: Float32Array<ArrayBuffer> } {
  const bytes = encode(matrix, dtype);
  const perPart = Math.ceil(out / parts / 4) * 4;
  const weight: PackedWeight = { name, dtype, out, in: inSize, parts: [] };
  for (let firstOut = 0; firstOut < out; firstOut += perPart) {
    const outs = Math.min(perPart, out - firstOut);
    const size = Math.ceil(outs / 4) * Math.ceil(inSize / 4) * blockBytes(dtype);
    const target = new ArrayBuffer(size);
    packBlocks({ name, dtype, out, in: inSize, transposed: false, bytes }, firstOut, outs, target);
    weight.parts.push({ buffer: pool.createWith(name, new Uint8Array(target)), firstOut, outs, bytes: size });
  }
  return { weight, values: toFloat32(name, dtype, bytes) };
}
