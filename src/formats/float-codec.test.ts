import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countNonFinite, decodeFloats, encodeFloats } from './float-codec.ts';

const halves = (...values: number[]) => new Uint8Array(new Uint16Array(values).buffer);

/** The value of a float16 from its definition. */
function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + mantissa / 1024) * 2 ** (exponent - 15) : (mantissa / 1024) * 2 ** -14);
}

describe('decodeFloats', () => {
  it('decodes every float16', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const decoded = decodeFloats('F16', new Uint8Array(all.buffer));
    const wrong = [...all].filter((half) => !Object.is(decoded[half], halfValue(half)));
    expect(wrong).toEqual([]);
  });

  it('decodes bfloat16 as the upper half of a float32', () => {
    expect([...decodeFloats('BF16', halves(0x3f80, 0xc049, 0x0001, 0x7f80))]).toEqual([
      1,
      -3.140625,
      2 ** -133,
      Infinity,
    ]);
  });

  it('reads from odd offsets', () => {
    const bytes = new Uint8Array([9, 0, 0, 0x80, 0x3f]).subarray(1);
    expect([...decodeFloats('F32', bytes)]).toEqual([1]);
    expect([...decodeFloats('BF16', bytes)]).toEqual([0, 1]);
    expect(countNonFinite('F32', bytes)).toBe(0);
  });
});

describe('encodeFloats', () => {
  it('rounds to the nearest bfloat16, ties to even', () => {
    // 1 + 2^-8 lies half-way between 1 and 1 + 2^-7; 1 + 3 * 2^-8 half-way between odd and even.
    const values = new Float32Array([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -2.5, 3.4e38]);
    expect([...decodeFloats('BF16', encodeFloats('BF16', values))]).toEqual([
      1,
      1,
      1 + 2 ** -6,
      1 + 2 ** -7,
      -2.5,
      Infinity,
    ]);
  });

  it('keeps NaN a NaN whatever its payload', () => {
    const values = new Float32Array(new Uint32Array([0x7f800001, 0xffffffff]).buffer);
    expect([...decodeFloats('BF16', encodeFloats('BF16', values))]).toEqual([NaN, NaN]);
  });

  it('is never further away than half a step', () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, noDefaultInfinity: true, max: 2 ** 126, min: -(2 ** 126) }),
        (value) => {
          const back = decodeFloats('BF16', encodeFloats('BF16', new Float32Array([value])))[0] ?? NaN;
          expect(Math.abs(back - value)).toBeLessThanOrEqual(Math.max(Math.abs(value) * 2 ** -8, 2 ** -134));
        },
      ),
    );
  });
});

describe('countNonFinite', () => {
  it('counts NaN and infinities, not denormals', () => {
    const values = new Float32Array([0, 1e-45, NaN, Infinity, -Infinity, 1]);
    expect(countNonFinite('F32', new Uint8Array(values.buffer))).toBe(3);
    expect(countNonFinite('F16', halves(0x7c00, 0xfe00, 0x0001, 0x3c00))).toBe(2);
    expect(countNonFinite('BF16', halves(0x7f80, 0xff81, 0x0001, 0x3f80))).toBe(2);
  });
});
