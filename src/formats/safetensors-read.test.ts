import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource, type ByteSource } from './bytes.ts';
import { countNonFinite } from './float-codec.ts';
import { openSafetensors, readSafetensorsStream } from './safetensors-read.ts';
import { safetensorsCorpus, safetensorsFile } from './testing-safetensors-corpus.ts';
import { codeOf } from './testing.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Reads everything both ways and gives the code of the error, which must be the same. */
async function verdict(bytes: Bytes): Promise<string> {
  const whole = await codeOf(async () => {
    const file = await openSafetensors(bytesSource('t.safetensors', bytes));
    for (const { name } of file.list()) await file.read(name);
  });
  const streamed = await codeOf(() =>
    readSafetensorsStream('t.safetensors', bytes.byteLength, cut(bytes, 1000)),
  );
  expect(streamed).toBe(whole);
  return whole;
}

async function* cut(bytes: Bytes, size: number): AsyncGenerator<Bytes> {
  for (let at = 0; at < bytes.byteLength; at += size) yield Promise.resolve(bytes.subarray(at, at + size));
}

const two = safetensorsFile(
  {
    __metadata__: { format: 'pt' },
    a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
    b: { dtype: 'BF16', shape: [1, 3], data_offsets: [8, 14] },
  },
  new Uint8Array(14).map((_, i) => i + 1),
);

describe('openSafetensors', () => {
  it('lists and reads tensors', async () => {
    const file = await openSafetensors(bytesSource('t', two));
    expect(file.list()).toEqual([
      { name: 'a', dtype: 'F32', shape: [2], byteLength: 8 },
      { name: 'b', dtype: 'BF16', shape: [1, 3], byteLength: 6 },
    ]);
    expect(file.get('b')?.shape).toEqual([1, 3]);
    expect([...(await file.read('b'))]).toEqual([9, 10, 11, 12, 13, 14]);
    expect(file.metadata['format']).toBe('pt');
    await expect(file.read('c')).rejects.toThrow('t: there is no tensor c');
  });

  it.each(safetensorsCorpus().map((c) => [`${String(c.number)} ${c.name}`, c] as const))(
    '%s',
    async (_, c) => {
      expect(await verdict(c.bytes)).toBe(c.accepted ? 'no error' : 'SAFETENSORS_INVALID');
    },
  );

  it('6: reads a larger header when the cap is raised, up to the limit of the format', async () => {
    const bytes = safetensorsFile(`{}${' '.repeat(16 * 2 ** 20 - 1)}`);
    const file = await openSafetensors(bytesSource('t', bytes), { maxHeaderBytes: 100_000_000 });
    expect(file.list()).toEqual([]);
  });

  it('16: refuses 90 MB of metadata by its length, without reading it', async () => {
    const size = 8 + 90_000_000;
    const reads: number[] = [];
    const source: ByteSource = {
      name: 'big.safetensors',
      size,
      read: (start, end) => {
        reads.push(end - start);
        const bytes = new Uint8Array(end - start);
        if (start === 0) new DataView(bytes.buffer).setBigUint64(0, 90_000_000n, true);
        return Promise.resolve(bytes);
      },
    };
    expect(await codeOf(() => openSafetensors(source))).toBe('SAFETENSORS_INVALID');
    expect(reads).toEqual([8]);
  });

  it('26: refuses 10 million entries by the size of their header', async () => {
    const first8 = new Uint8Array(8);
    new DataView(first8.buffer).setBigUint64(0, 99_999_999n, true);
    const source: ByteSource = { name: 't', size: 100_000_500, read: () => Promise.resolve(first8) };
    expect(await codeOf(() => openSafetensors(source))).toBe('SAFETENSORS_INVALID');
  });

  it('31: reads unpadded files of base models when told to', async () => {
    const unpadded = safetensorsCorpus().find((c) => c.number === 31)?.bytes ?? new Uint8Array(0);
    const file = await openSafetensors(bytesSource('t', unpadded), { requireAligned: false });
    expect((await file.read('a')).byteLength).toBe(16);
  });

  it('35: values that are not finite load and can be counted', async () => {
    const odd = safetensorsCorpus().find((c) => c.number === 35)?.bytes ?? new Uint8Array(0);
    const file = await openSafetensors(bytesSource('t', odd));
    expect(countNonFinite('F32', await file.read('a'))).toBe(2);
  });

  it('36: refuses a file that became shorter while it was read', async () => {
    let bytes = two;
    const source: ByteSource = {
      name: 't',
      size: two.byteLength,
      read: (start, end) => Promise.resolve(bytes.subarray(start, end)),
    };
    const file = await openSafetensors(source);
    bytes = two.subarray(0, two.byteLength - 3);
    await expect(file.read('b')).rejects.toThrow('became shorter');
  });

  it('does not touch Object.prototype', async () => {
    await verdict(safetensorsFile('{"__metadata__":{"__proto__":"x","polluted":"y"}}'));
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('on damage', () => {
  it('refuses every truncation', async () => {
    for (let length = 0; length < two.byteLength; length++) {
      expect(await verdict(two.slice(0, length))).toBe('SAFETENSORS_INVALID');
    }
  });

  it('survives every single flipped bit: a typed error, or tensors of the stated sizes', async () => {
    const codes = new Set<string>();
    for (let bit = 0; bit < two.byteLength * 8; bit++) {
      const damaged = two.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      codes.add(await verdict(damaged));
    }
    expect([...codes].sort()).toEqual(['SAFETENSORS_INVALID', 'no error']);
  });

  it('survives random headers over random data', async () => {
    const dtype = fc.constantFrom('F32', 'BF16', 'F4', 'I8', 'x');
    const entry = fc.record({
      dtype,
      shape: fc.array(fc.nat(5), { maxLength: 3 }),
      data_offsets: fc.tuple(fc.nat(40), fc.nat(40)),
    });
    const header = fc.dictionary(fc.string({ maxLength: 5 }), entry, { maxKeys: 3 });
    await fc.assert(
      fc.asyncProperty(header, fc.uint8Array({ maxLength: 40 }), async (json, data) => {
        expect(['SAFETENSORS_INVALID', 'no error']).toContain(await verdict(safetensorsFile(json, data)));
      }),
      { numRuns: 500 },
    );
  });
});
