/**
 * Frozen weights on the GPU: blocks of 4 inputs by 4 outputs, stored `[in/4][out/4]`, in the dtype of the file.
 * The same bytes serve `x Wᵀ` and `dy W` (engine.md section 2). Inside a 16-bit block, word `2k + h` holds outputs
 * `2h` and `2h + 1` of input `k`; inside a 32-bit block, word `4k + n` holds output `n` of input `k`.
 */
import { StudioError } from '../../errors.ts';
import type { FloatDtype } from '../../formats/tensors.ts';

/** The kernels' `FORMAT` constant. */
export const FORMAT_OF: Readonly<Record<FloatDtype, number>> = { F16: 0, BF16: 1, F32: 2 };

/** Bytes of one 4x4 block. */
export function blockBytes(dtype: FloatDtype): number {
  return dtype === 'F32' ? 64 : 32;
}

/** A matrix as it lies in the file. `transposed`: [in, out] (GPT-2's Conv1D) instead of [out, in]. */
export interface RawMatrix {
  name: string;
  dtype: FloatDtype;
  out: number;
  in: number;
  transposed: boolean;
  bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Writes outputs `[firstOut, firstOut + outs)` of a matrix as blocks into `target`, zero-padded to whole blocks.
 * Throws WEIGHTS_INVALID on NaN or infinity, which WGSL has no defined behaviour for.
 */
export function packBlocks(raw: RawMatrix, firstOut: number, outs: number, target: ArrayBuffer): void {
  const inBlocks = Math.ceil(raw.in / 4);
  const outBlocks = Math.ceil(outs / 4);
  const stride = { out: raw.transposed ? 1 : raw.in, in: raw.transposed ? raw.out : 1 };
  const wide = raw.dtype === 'F32';
  const source = wide ? words32(raw.bytes) : words16(raw.bytes);
  const exponent = raw.dtype === 'BF16' ? 0x7f80 : raw.dtype === 'F16' ? 0x7c00 : 0x7f800000;
  const packed = wide ? new Uint32Array(target) : new Uint16Array(target);
  for (let ib = 0; ib < inBlocks; ib++) {
    const kCount = Math.min(4, raw.in - ib * 4);
    for (let ob = 0; ob < outBlocks; ob++) {
      const base = (ib * outBlocks + ob) * 16;
      const nCount = Math.min(4, outs - ob * 4);
      for (let k = 0; k < kCount; k++) {
        let from = (firstOut + ob * 4) * stride.out + (ib * 4 + k) * stride.in;
        for (let n = 0; n < nCount; n++, from += stride.out) {
          const word = source[from] ?? 0;
          if ((word & exponent) === exponent) refuseValue(raw, from);
          packed[base + k * 4 + n] = word;
        }
      }
    }
  }
}

function refuseValue(raw: RawMatrix, index: number): never {
  throw new StudioError({
    code: 'WEIGHTS_INVALID',
    message: `The weight ${raw.name} holds a value that is not a number or infinite (element ${index}).`,
    fix: 'Use an undamaged copy of the model.',
  });
}

function words16(bytes: Uint8Array<ArrayBuffer>): Uint16Array {
  return bytes.byteOffset % 2 === 0
    ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1)
    : new Uint16Array(bytes.slice().buffer);
}

function words32(bytes: Uint8Array<ArrayBuffer>): Uint32Array {
  return bytes.byteOffset % 4 === 0
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
    : new Uint32Array(bytes.slice().buffer);
}

/** A small tensor (norm weight, bias) as float32, exact for every dtype. Throws WEIGHTS_INVALID on NaN or infinity. */
export function toFloat32(
  name: string,
  dtype: FloatDtype,
  bytes: Uint8Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  const values =
    dtype === 'F32'
      ? Float32Array.from(
          new Float32Array(words32(bytes).buffer, words32(bytes).byteOffset, bytes.byteLength >> 2),
        )
      : Float32Array.from(words16(bytes), dtype === 'BF16' ? bf16ToFloat : f16ToFloat);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) refuseValue({ name, dtype, out: 1, in: values.length, transposed: false, bytes }, bad);
  return values;
}

const scratch = new DataView(new ArrayBuffer(4));

function bf16ToFloat(word: number): number {
  scratch.setUint32(0, word << 16);
  return scratch.getFloat32(0);
}

function f16ToFloat(word: number): number {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >> 10) & 0x1f;
  const fraction = word & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
