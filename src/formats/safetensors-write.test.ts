import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from './bytes.ts';
import { CHUNK_BYTES, compareBytes } from './file-entry.ts';
import { openSafetensors } from './safetensors-read.ts';
import { safetensorsEntry, type TensorToWrite } from './safetensors-write.ts';
import { collect } from './testing.ts';

const tensor = (
  name: string,
  dtype: string,
  shape: number[],
  bytes: Uint8Array<ArrayBuffer>,
): TensorToWrite => ({
  name,
  dtype,
  shape,
  bytes: () => bytes,
});

describe('safetensorsEntry', () => {
  it('puts wide dtypes first, then orders by name, and pads the header', async () => {
    const entry = safetensorsEntry('x.safetensors', [
      tensor('layers.2', 'BF16', [1], new Uint8Array([1, 2])),
      tensor('layers.10', 'BF16', [1], new Uint8Array([3, 4])),
      tensor('z', 'F32', [1], new Uint8Array([5, 6, 7, 8])),
    ]);
    const bytes = await collect(entry.chunks());
    expect(bytes.byteLength).toBe(entry.size);
    const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(headerLength % 8).toBe(0);
    expect(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)).trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},"z":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
        '"layers.10":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},' +
        '"layers.2":{"dtype":"BF16","shape":[1],"data_offsets":[6,8]}}',
    );
    expect([...bytes.subarray(8 + headerLength)]).toEqual([5, 6, 7, 8, 3, 4, 1, 2]);
  });

  it('is read back as it was written', async () => {
    const shape = fc.array(fc.nat(4), { maxLength: 3 });
    const tensors = fc.dictionary(
      fc.stringMatching(/^t\.[a-z_.0-9]{1,12}$/),
      fc.record({ shape, dtype: fc.constantFrom('F32', 'BF16', 'I64', 'U8'), seed: fc.nat(255) }),
      { maxKeys: 8 },
    );
    const sizes: Record<string, number> = { F32: 4, BF16: 2, I64: 8, U8: 1 };
    await fc.assert(
      fc.asyncProperty(tensors, async (described) => {
        const list = Object.entries(described).map(([name, { shape, dtype, seed }]) => {
          const length = shape.reduce((a, b) => a * b, sizes[dtype] ?? 0);
          return tensor(name, dtype, shape, new Uint8Array(length).fill(seed));
        });
        const bytes = await collect(safetensorsEntry('x', list).chunks());
        const file = await openSafetensors(bytesSource('x', bytes));
        expect(file.list().length).toBe(list.length);
        for (const made of list) {
          expect(file.get(made.name)).toMatchObject({ dtype: made.dtype, shape: made.shape });
          expect(await file.read(made.name)).toEqual(made.bytes());
        }
      }),
      { numRuns: 200 },
    );
  });

  it('hands large tensors on in pieces, and gives the same bytes twice', async () => {
    const big = new Uint8Array(2 * CHUNK_BYTES + 4).map((_, i) => i * 31);
    const entry = safetensorsEntry('x', [tensor('a', 'F32', [big.byteLength / 4], big)]);
    const first = await collect(entry.chunks());
    expect(Buffer.compare(await collect(entry.chunks()), first)).toBe(0);
    for await (const chunk of entry.chunks()) expect(chunk.byteLength).toBeLessThanOrEqual(CHUNK_BYTES);
  });
});

describe('compareBytes', () => {
  it('orders as UTF-8 bytes do, also past the surrogates', () => {
    const unit = fc.string({ unit: 'binary', maxLength: 4 });
    fc.assert(
      fc.property(unit, unit, (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
    expect(compareBytes('\uffff', '\u{10000}')).toBeLessThan(0);
  });
});
