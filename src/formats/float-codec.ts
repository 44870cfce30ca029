/** The three float dtypes of model files as Float32Array and back, exactly; little-endian as in the files. */
import type { FloatDtype } from './tensors.ts';

export const BYTES_PER_VALUE: Record<FloatDtype, number> = { F32: 4, F16: 2, BF16: 2 };

export function isFloatDtype(dtype: string): dtype is FloatDtype {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

/** The same bytes at an offset that a typed array accepts; copies only where it must. */
function aligned(bytes: Uint8Array<ArrayBuffer>, alignment: number): Uint8Array<ArrayBuffer> {
  return bytes.byteOffset % alignment === 0 ? bytes : bytes.slice();
}

/** The float32 bits of a float16, subnormals and NaN payloads included. */
function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}

/**
 * Decodes to float32. F32 bytes that own their buffer are taken over as they are (so that a large adapter is not held
 * twice); everything else is copied.
 */
export function decodeFloats(dtype: FloatDtype, bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const count = bytes.byteLength / BYTES_PER_VALUE[dtype];
  if (dtype === 'F32') {
    const owned = bytes.byteLength === bytes.buffer.byteLength;
    return new Float32Array(owned ? bytes.buffer : bytes.slice().buffer);
  }
  const bits = new Uint32Array(count);
  const source = aligned(bytes, 2);
  const halves = new Uint16Array(source.buffer, source.byteOffset, count);
  for (let i = 0; i < count; i++) {
    const half = halves[i] ?? 0;
    bits[i] = dtype === 'BF16' ? half << 16 : halfToFloatBits(half);
  }
  return new Float32Array(bits.buffer);
}

/** The bytes of float32 values: a view for F32, rounded to nearest even for BF16. */
export function encodeFloats(
  dtype: 'F32' | 'BF16',
  values: Float32Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) {
    const word = bits[i] ?? 0;
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    // Adding 0x7fff plus the lowest kept bit rounds half to even; a NaN keeps its sign and stays a NaN.
    halves[i] = isNaN ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}

/** How many values are NaN or infinite. */
export function countNonFinite(dtype: FloatDtype, bytes: Uint8Array<ArrayBuffer>): number {
  let found = 0;
  const source = aligned(bytes, BYTES_PER_VALUE[dtype]);
  if (dtype === 'F32') {
    const words = new Uint32Array(source.buffer, source.byteOffset, source.byteLength >> 2);
    for (const word of words) if ((word & 0x7f800000) === 0x7f800000) found++;
    return found;
  }
  const mask = dtype === 'BF16' ? 0x7f80 : 0x7c00;
  const halves = new Uint16Array(source.buffer, source.byteOffset, source.byteLength >> 1);
  for (const half of halves) if ((half & mask) === mask) found++;
  return found;
}
