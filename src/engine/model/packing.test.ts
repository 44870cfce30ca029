import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FloatDtype } from '../../formats/tensors.ts';
import { blockBytes, packBlocks, toFloat32, type RawMatrix } from './packing.ts';

const DTYPES: readonly FloatDtype[] = ['F16', 'BF16', 'F32'];

/** A matrix whose element at [o, i] is the word `10 * o + i + 1`, as it lies in the file. */
function counted(dtype: FloatDtype, out: number, inSize: number, transposed: boolean): RawMatrix {
  const words = Array.from({ length: out * inSize }, (_, at) => {
    const [o, i] = transposed ? [at % out, Math.floor(at / out)] : [Math.floor(at / inSize), at % inSize];
    return 10 * o + i + 1;
  });
  const bytes = new Uint8Array((dtype === 'F32' ? Uint32Array.from(words) : Uint16Array.from(words)).buffer);
  return { name: 'w', dtype, out, in: inSize, transposed, bytes };
}

function packed(raw: RawMatrix, firstOut = 0, outs = raw.out): Uint32Array | Uint16Array {
  const target = new ArrayBuffer(Math.ceil(outs / 4) * Math.ceil(raw.in / 4) * blockBytes(raw.dtype));
  packBlocks(raw, firstOut, outs, target);
  return raw.dtype === 'F32' ? new Uint32Array(target) : new Uint16Array(target);
}

describe('packBlocks', () => {
  test.each(DTYPES)('lays %s values as [in/4][out/4] blocks of 4 inputs by 4 outputs', (dtype) => {
    const words = packed(counted(dtype, 5, 6, false));
    const blocks = Array.from({ length: words.length / 16 }, (_, b) => [
      ...words.subarray(b * 16, b * 16 + 16),
    ]);
    expect(blocks).toEqual([
      [1, 11, 21, 31, 2, 12, 22, 32, 3, 13, 23, 33, 4, 14, 24, 34],
      [41, 0, 0, 0, 42, 0, 0, 0, 43, 0, 0, 0, 44, 0, 0, 0],
      [5, 15, 25, 35, 6, 16, 26, 36, 0, 0, 0, 0, 0, 0, 0, 0],
      [45, 0, 0, 0, 46, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]);
  });

  test('puts every element of any part of any matrix in its place, and zeros elsewhere', () => {
    const size = fc.integer({ min: 1, max: 13 });
    fc.assert(
      fc.property(
        fc.constantFrom(...DTYPES),
        size,
        size,
        fc.boolean(),
        fc.nat(3),
        size,
        (dtype, out, inSize, transposed, firstBlock, most) => {
          const firstOut = Math.min(firstBlock * 4, (Math.ceil(out / 4) - 1) * 4);
          const outs = Math.min(most, out - firstOut);
          const words = packed(counted(dtype, out, inSize, transposed), firstOut, outs);
          const outBlocks = Math.ceil(outs / 4);
          words.forEach((word, at) => {
            const block = Math.floor(at / 16);
            const i = Math.floor(block / outBlocks) * 4 + Math.floor((at % 16) / 4);
            const o = (block % outBlocks) * 4 + (at % 4);
            expect(word).toBe(i < inSize && o < outs ? 10 * (firstOut + o) + i + 1 : 0);
          });
        },
      ),
    );
  });

  test.each(DTYPES)('reads %s bytes at any offset', (dtype) => {
    const raw = counted(dtype, 3, 5, false);
    const shifted = new Uint8Array(raw.bytes.byteLength + 1);
    shifted.set(raw.bytes, 1);
    expect(packed({ ...raw, bytes: shifted.subarray(1) })).toEqual(packed(raw));
  });

  test.each<[dtype: FloatDtype, name: string, word: number]>([
    ['F16', 'infinity', 0x7c00],
    ['F16', 'NaN', 0xfe01],
    ['BF16', 'infinity', 0xff80],
    ['BF16', 'NaN', 0x7fc0],
    ['F32', 'infinity', 0xff800000],
    ['F32', 'NaN', 0x7f800001],
  ])('refuses %s %s by tensor and element', (dtype, _, word) => {
    const raw = counted(dtype, 3, 5, false);
    const view = new DataView(raw.bytes.buffer);
    if (dtype === 'F32') view.setUint32(7 * 4, word, true);
    else view.setUint16(7 * 2, word, true);
    const refusal = expect.objectContaining({
      code: 'WEIGHTS_INVALID',
      message: expect.stringMatching(/weight w .*element 7/),
    });
    expect(() => packed(raw)).toThrow(refusal);
    expect(() => toFloat32('w', dtype, raw.bytes)).toThrow(refusal);
  });
});

describe('toFloat32', () => {
  const words16 = (...words: number[]): Uint8Array<ArrayBuffer> =>
    new Uint8Array(Uint16Array.from(words).buffer);

  test('widens every finite f16 exactly', () => {
    const finite = Array.from({ length: 0x10000 }, (_, word) => word).filter(
      (word) => (word & 0x7c00) !== 0x7c00,
    );
    const values = toFloat32('w', 'F16', words16(...finite));
    expect(values).toHaveLength(63488);
    const value = (word: number): number | undefined => values[finite.indexOf(word)];
    expect(value(0x3c00)).toBe(1);
    expect(value(0x0001)).toBe(2 ** -24);
    expect(value(0x83ff)).toBe(-1023 * 2 ** -24);
    expect(value(0x0400)).toBe(2 ** -14);
    expect(value(0x7bff)).toBe(65504);
    expect(Object.is(value(0x8000), -0)).toBe(true);
    // Positive words are in the order of their values, so none of them is out of place.
    const positive = values.subarray(0, 0x7c00);
    expect(positive.every((entry, index) => index === 0 || entry > (positive[index - 1] ?? NaN))).toBe(true);
  });

  test('widens bf16 exactly', () => {
    expect([...toFloat32('w', 'BF16', words16(0x3f80, 0xc049, 0x0001, 0x7f7f))]).toEqual([
      1,
      -3.140625,
      2 ** -133,
      (2 - 2 ** -7) * 2 ** 127,
    ]);
  });

  test('copies f32, wherever it begins', () => {
    const values = Float32Array.of(1.5, -(2 ** -149), 3e38);
    const shifted = new Uint8Array(13);
    shifted.set(new Uint8Array(values.buffer), 1);
    expect(toFloat32('w', 'F32', shifted.subarray(1))).toEqual(values);
    const copy = toFloat32('w', 'F32', new Uint8Array(values.buffer));
    expect(copy).toEqual(values);
    expect(copy.buffer).not.toBe(values.buffer);
  });
});
