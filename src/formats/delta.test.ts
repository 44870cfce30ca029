import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StudioError } from '../errors.ts';
import { BYTE_PLANE_ENCODING, joinPlanes, packPlanes, splitPlanes, unpackPlanes } from './byte-planes.ts';
import { decodeDelta, DELTA_ENCODING, encodeDelta, type DeltaBase } from './delta.ts';
import type { Chunk } from './streams.ts';
import { codeOf, collect } from './testing.ts';

/** Float32 values as training has them: normal, with a small spread of exponents. */
function weights(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => 0.02 * Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()),
  );
}

const bytesOf = (values: Float32Array<ArrayBuffer>): Chunk => new Uint8Array(values.buffer);
const base = (bytes: Chunk, changes: Partial<DeltaBase> = {}): DeltaBase => ({
  id: 'B1',
  isDelta: false,
  bytes,
  ...changes,
});

const before = bytesOf(weights(20_000, 1));
const after = bytesOf(weights(20_000, 1).map((value, i) => Math.fround(value + 2e-4 * Math.sin(i))));

async function madeDelta() {
  const delta = await encodeDelta(base(before), after);
  if (delta === null) throw new Error('no delta');
  return delta;
}

describe('byte planes', () => {
  it('come back, whatever the length (property)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        expect(joinPlanes(splitPlanes(bytes))).toEqual(Uint8Array.from(bytes));
      }),
    );
  });

  it('put equal places next to each other', () => {
    expect(Array.from(splitPlanes(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)))).toEqual([
      1, 5, 2, 6, 3, 7, 4, 8, 9,
    ]);
  });

  it('are smaller than gzip alone on weights, and come back through the store', async () => {
    const packed = await packPlanes(before);
    expect(packed.encoding).toBe(BYTE_PLANE_ENCODING);
    expect(packed.size).toBeLessThan(0.95 * gzipSync(before).byteLength);
    expect((await collect(packed.chunks())).byteLength).toBe(packed.size);
    expect(await unpackPlanes('x', before.byteLength, packed.chunks())).toEqual(before);
    expect(await unpackPlanes('x', 0, (await packPlanes(new Uint8Array(0))).chunks())).toEqual(
      new Uint8Array(0),
    );
  });

  it('refuse blobs of another size, bombs and damage', async () => {
    const packed = await packPlanes(before);
    const stored = await collect(packed.chunks());
    expect(await codeOf(() => unpackPlanes('x', before.byteLength + 1, [stored]))).toBe('GZIP_INVALID');
    expect(await codeOf(() => unpackPlanes('x', before.byteLength - 1, [stored]))).toBe('INPUT_TOO_LARGE');
    const bomb = new Uint8Array(gzipSync(new Uint8Array(64 * 2 ** 20)));
    expect(await codeOf(() => unpackPlanes('x', 1000, [bomb]))).toBe('INPUT_TOO_LARGE');
    await fc.assert(
      fc.asyncProperty(fc.nat(stored.byteLength - 1), async (length) => {
        expect(await codeOf(() => unpackPlanes('x', before.byteLength, [stored.slice(0, length)]))).toBe(
          'GZIP_INVALID',
        );
      }),
      { numRuns: 50 },
    );
  });
});

describe('a delta', () => {
  it('gives the file back, and says how much smaller it really is', async () => {
    const { stored, info } = await madeDelta();
    expect(stored.encoding).toBe(DELTA_ENCODING);
    expect(info.measuredRatio).toBe(after.byteLength / stored.size);
    expect(info.measuredRatio).toBeGreaterThan(1.1);
    expect(info.measuredRatio).toBeLessThan(3);
    expect(await decodeDelta(base(before), info, stored.chunks())).toEqual(after);
  });

  it('of the same file is next to nothing', async () => {
    const delta = await encodeDelta(base(before), before);
    expect(delta?.info.measuredRatio).toBeGreaterThan(100);
  });

  it('is not made where it would not be smaller', async () => {
    const noise = Uint8Array.from({ length: 4096 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 13) & 0xff);
    const zeros = new Uint8Array(4096);
    expect(await encodeDelta(base(zeros), crypto.getRandomValues(noise))).toBeNull();
  });

  it('is one step deep, against a base of the same size', async () => {
    const { stored, info } = await madeDelta();
    expect(await codeOf(() => encodeDelta(base(before, { isDelta: true }), after))).toBe('DELTA_INVALID');
    expect(await codeOf(() => encodeDelta(base(before.slice(4)), after))).toBe('DELTA_INVALID');
    const decode = (changes: Partial<DeltaBase>) =>
      codeOf(() => decodeDelta(base(before, changes), info, stored.chunks()));
    expect(await decode({})).toBe('no error');
    expect(await decode({ isDelta: true })).toBe('DELTA_INVALID');
    expect(await decode({ id: 'B2' })).toBe('DELTA_INVALID');
    expect(await decode({ bytes: after })).toBe('DELTA_INVALID');
    expect(await decode({ bytes: before.slice(4) })).toBe('DELTA_INVALID');
  });

  it('with any bit of base, blob or hashes flipped is refused (property)', async () => {
    const { stored, info } = await madeDelta();
    const blob = await collect(stored.chunks());
    const flipped = (bytes: Chunk, at: number, bit: number): Chunk => {
      const copy = bytes.slice();
      copy[at % copy.byteLength] = (copy[at % copy.byteLength] ?? 0) ^ (1 << bit);
      return copy;
    };
    const refused = ['DELTA_INVALID', 'GZIP_INVALID', 'INPUT_TOO_LARGE'];
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(7), async (at, bit) => {
        expect(refused).toContain(
          await codeOf(() => decodeDelta(base(flipped(before, at, bit)), info, [blob])),
        );
        const decoded = await decodeDelta(base(before), info, [flipped(blob, at, bit)]).catch(
          (error: unknown) => error,
        );
        // A few bits of the gzip header (its time, its system) carry nothing.
        expect(decoded instanceof StudioError || Buffer.from(decoded as Chunk).equals(after)).toBe(true);
      }),
      { numRuns: 60 },
    );
    const wrong = { ...info, resultSha256: '0'.repeat(64) };
    expect(await codeOf(() => decodeDelta(base(before), wrong, [blob]))).toBe('DELTA_INVALID');
  });
});
