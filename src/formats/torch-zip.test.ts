import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StudioError } from '../errors.ts';
import { bytesSource } from './bytes.ts';
import { bytesEntry, type FileEntry } from './file-entry.ts';
import { readPickle } from './pickle-read.ts';
import type { Chunk } from './streams.ts';
import {
  countingSource,
  int,
  minimalEntries,
  pickleOf,
  raw,
  rawZip,
  readTorch,
  tensorOps,
  torchBytes,
  type RawZipEntry,
} from './testing-torch.ts';
import { codeOf, collect } from './testing.ts';
import { readTorchFile, torchFileEntry } from './torch-file.ts';
import { dict, floatTensor } from './torch-values.ts';
import { openTorchZip } from './torch-zip-read.ts';
import { zipEntry } from './torch-zip-write.ts';

const INVALID = 'TORCH_FILE_INVALID';
const codeFor = (bytes: Chunk) => codeOf(() => readTorch(bytes));
const codeWith = (changes: Record<string, Partial<RawZipEntry>>, options?: Parameters<typeof rawZip>[1]) =>
  codeFor(rawZip(minimalEntries(changes), options));

describe('102: the container', () => {
  it('reads a zip as it should be, with checksums and without', async () => {
    expect(await readTorch(rawZip(minimalEntries()))).toBe(1n);
    expect(await readTorch(await torchBytes(pickleOf('K\x01')))).toBe(1n);
  });

  it('refuses a file without its directory', async () => {
    const good = rawZip(minimalEntries());
    expect(await codeFor(good.slice(0, -22))).toBe(INVALID);
    expect(await codeFor(good.slice(0, 10))).toBe(INVALID);
    expect(await codeFor(rawZip([]))).toBe(INVALID);
    expect(await codeFor(raw('PK\x05\x06', new Uint8Array(18)))).toBe(INVALID);
  });

  it('refuses local headers that contradict the directory', async () => {
    const name = 'x/data.pkl';
    for (const local of [
      { name: 'x/data.pkX' },
      { name: 'y/data.pkl' },
      { size: 3 },
      { crc: 1 },
      { flags: 8 },
      { method: 8 },
      { size: 0xffffffff },
    ]) {
      expect(await codeWith({ [name]: { local } }), JSON.stringify(local)).toBe(INVALID);
    }
    for (const central of [
      { size: 3 },
      { packed: 3 },
      { size: 3, packed: 3 },
      { size: 10_000, packed: 10_000 },
      { offset: 1 },
      { offset: 1e6 },
      { offset: 0xffffffff },
      { size: 0xffffffff, packed: 0xffffffff },
      { size: 0xffffffff, packed: 0xffffffff, extra: raw([1, 0, 8, 0], new Uint8Array(8)) },
      { size: 0xffffffff, packed: 0xffffffff, extra: raw([1, 0, 16, 0], new Uint8Array(16).fill(255)) },
      { size: 0xffffffff, packed: 0xffffffff, extra: raw([2, 0, 255, 255]) },
    ]) {
      expect(await codeWith({ [name]: { central } }), JSON.stringify(central)).toBe(INVALID);
    }
  });

  it('refuses duplicates, compression, encryption and odd flags', async () => {
    const twice = [...minimalEntries(), { name: 'x/data.pkl', content: pickleOf('K\x02') }];
    expect(await codeFor(rawZip(twice))).toBe(INVALID);
    expect(await codeWith({ 'x/data.pkl': { method: 8 } })).toBe(INVALID);
    expect(await codeWith({ 'x/data.pkl': { flags: 1 } })).toBe(INVALID);
    expect(await codeWith({ 'x/data.pkl': { flags: 0x40 } })).toBe(INVALID);
    expect(await codeWith({ 'x/data.pkl': { flags: 0x800 } })).toBe('no error');
  });

  it('refuses names outside the one folder', async () => {
    for (const name of [
      'version',
      'y/version',
      '/x/version',
      'x/',
      'x//version',
      'x/../version',
      'x/./version',
      'x/a\\b',
      'x/a\nb',
      'x/\xff',
    ]) {
      expect(await codeWith({ 'x/version': { name } }), name).toBe(INVALID);
    }
    expect(await codeWith({ 'x/version': { name: `x/${'v'.repeat(300)}` } })).toBe(INVALID);
    expect(await codeWith({ 'x/version': { name: '' } })).toBe(INVALID);
  });

  it('refuses whatever lies before, between and behind the entries', async () => {
    expect(await codeWith({}, { before: raw('#!/bin/sh\n') })).toBe(INVALID);
    expect(await codeWith({}, { before: raw('PK\x03\x04') })).toBe(INVALID);
    expect(await codeWith({ 'x/data.pkl': { behind: raw('hidden') } })).toBe(INVALID);
    expect(await codeWith({ 'x/version': { behind: raw('hidden') } })).toBe(INVALID);
    expect(await codeWith({}, { middle: raw('hidden') })).toBe(INVALID);
    expect(await codeWith({}, { tail: raw('hidden') })).toBe(INVALID);
    expect(await codeWith({}, { comment: 'hidden' })).toBe(INVALID);
    expect(await codeFor(raw(rawZip(minimalEntries()), 'hidden'))).toBe(INVALID);
  });

  it('checks the descriptor behind a content', async () => {
    const descriptor = (...words: number[]) => raw(new Uint8Array(Uint32Array.from(words).buffer));
    const withDescriptor = (behind: Chunk) => codeWith({ 'x/version': { flags: 8, behind } });
    expect(await withDescriptor(descriptor(0x08074b50, 0, 2, 2))).toBe('no error');
    expect(await withDescriptor(descriptor(0x08074b50, 0, 2, 0, 2, 0))).toBe('no error');
    expect(await withDescriptor(descriptor(0x08074b50, 0, 3, 2))).toBe(INVALID);
    expect(await withDescriptor(descriptor(0x08074b50, 7, 2, 2))).toBe(INVALID);
    expect(await withDescriptor(descriptor(0, 0, 2, 2))).toBe(INVALID);
    expect(await withDescriptor(raw('xxx'))).toBe(INVALID);
    expect(await withDescriptor(raw(''))).toBe(INVALID);
  });

  it('refuses a wrong number of entries, and a million without reading them', async () => {
    expect(await codeWith({}, { count: 2 })).toBe(INVALID);
    expect(await codeWith({}, { count: 4 })).toBe(INVALID);
    expect(await codeWith({}, { count: 0 })).toBe(INVALID);
    const million = await collect(torchFileEntry('x.pt', 1n, { zip64From: 1 }).chunks());
    const count = new Uint8Array(BigUint64Array.of(1_000_000n).buffer);
    for (const at of [24, 32]) million.set(count, million.byteLength - 98 + at);
    const source = countingSource(million);
    expect(await codeOf(() => openTorchZip(source))).toBe(INVALID);
    expect(source.count).toBeLessThan(1000);
  });

  it('holds the 64-bit records to the plain ones', async () => {
    const file = torchFileEntry('x.pt', dict([['a', 1n]]), { zip64From: 1 });
    const good = await collect(file.chunks());
    expect(await codeFor(good)).toBe('no error');
    const record = good.byteLength - 22 - 20 - 56;
    const changed = (at: number, value: number): Chunk => {
      const bytes = good.slice();
      bytes[at] = value;
      return bytes;
    };
    for (const [name, at, value] of [
      ['count', record + 24, 9],
      ['count', record + 32, 9],
      ['size', record + 40, 1],
      ['start', record + 48, 1],
      ['start', record + 55, 0x80],
      ['record', record, 0],
      ['record length', record + 4, 45],
      ['disk', record + 16, 1],
      ['locator', record + 56, 0],
      ['locator', record + 56 + 8, 1],
      ['disks', record + 56 + 16, 2],
    ] as const) {
      expect(await codeFor(changed(at, value)), name).toBe(INVALID);
    }
  });

  it('says when the file shrinks while it is read', async () => {
    const bytes = await torchBytes(pickleOf('K\x01'));
    const source = { ...bytesSource('x.pt', bytes), read: () => Promise.resolve(bytes.subarray(0, 1)) };
    expect(await codeOf(() => openTorchZip(source))).toBe(INVALID);
  });
});

describe('damage (property tests)', () => {
  const value = dict([
    ['a', floatTensor([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6))],
    ['b', [1n, 2.5, 'text', null]],
  ]);
  const file = () => collect(torchFileEntry('x.pt', value).chunks());

  it('a file that was cut off anywhere is refused', async () => {
    const bytes = await file();
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(await codeFor(bytes.slice(0, length)), String(length)).toBe(INVALID);
    }
  });

  it('a flipped bit is found, or changes nothing', async () => {
    const bytes = await file();
    const right = await readTorch(bytes);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.byteLength - 1), fc.nat(7), async (at, bit) => {
        const bad = bytes.slice();
        bad[at] = (bad[at] ?? 0) ^ (1 << bit);
        const read = await readTorch(bad).catch((error: unknown) => {
          if (error instanceof StudioError && error.code === INVALID) return right;
          throw error;
        });
        expect(read).toEqual(right);
      }),
      { numRuns: 2000 },
    );
  });

  it('a pickle of any bytes or any operations gives a value or a refusal', async () => {
    const op = fc.constantFrom(
      ...Array.from('N\x88\x89})](teusaR.Q\x85\x86\x87b'),
      'K\x01',
      'M\x01\x01',
      'q\x00',
      'h\x00',
      'q\x01',
      'h\x01',
      'U\x01a',
      '\x8a\x01\x05',
      'ccollections\nOrderedDict\n',
      'ctorch\nFloatStorage\n',
      'ctorch._utils\n_rebuild_tensor_v2\n',
      Buffer.from(tensorOps()).toString('latin1'),
      Buffer.from(int(-1)).toString('latin1'),
    );
    const tensor = () => floatTensor([4], new Float32Array(4));
    const check = async (pickle: Chunk): Promise<void> => {
      expect([INVALID, 'no error']).toContain(
        await codeOf(() => readPickle(pickle, { file: 'x.pt', tensor })),
      );
    };
    await fc.assert(
      fc.asyncProperty(fc.array(op, { maxLength: 40 }), (ops) => check(pickleOf(...ops))),
      { numRuns: 3000 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), (bytes) => check(pickleOf(bytes))),
      { numRuns: 3000 },
    );
  });

  it('any value comes back', async () => {
    const leaf = fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.double({ noNaN: true }),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.string({ unit: 'grapheme' }),
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        leaf,
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.array(fc.tuple(fc.string(), tie('tree')), { maxLength: 4 }).map((members) => new Map(members)),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(tree, async (any) => {
        const bytes = await collect(
          torchFileEntry('x.pt', any as Parameters<typeof torchFileEntry>[1]).chunks(),
        );
        expect(await readTorch(bytes)).toEqual(any);
      }),
      { numRuns: 300 },
    );
  });

  it('takes 20,000 tensors with long names', async () => {
    const tensor = (_: unknown, i: number) =>
      [
        `model.layers.${String(i)}.self_attn.q_proj.lora_A.weight`,
        floatTensor([1], new Float32Array(1)),
      ] as const;
    const file = torchFileEntry('x.pt', dict(Array.from({ length: 20_000 }, tensor)));
    const read = await readTorchFile(bytesSource('x.pt', await collect(file.chunks())));
    expect(read instanceof Map && read.size).toBe(20_000);
  });

  it('stops at 100,000 tensors, however little each takes', async () => {
    // The arguments of one empty tensor, remembered and used again.
    const ops = tensorOps({ shape: [int(0)] });
    const nameEnds = 'ctorch._utils\n_rebuild_tensor_v2\n'.length;
    const first = raw(ops.subarray(0, nameEnds), 'q\x00', ops.subarray(nameEnds, -1), 'q\x01R');
    const tensors = (count: number) => pickleOf(']', first, 'a(', 'h\x00h\x01R'.repeat(count - 1), 'e');
    expect(
      await codeOf(async () => readTorchFile(bytesSource('x.pt', await torchBytes(tensors(100_000))))),
    ).toBe('no error');
    expect(
      await codeOf(async () => readTorchFile(bytesSource('x.pt', await torchBytes(tensors(100_001))))),
    ).toBe(INVALID);
  });
});

it('bytes of an entry must be as many as it says', async () => {
  const wrong: FileEntry = { ...bytesEntry('x/a', raw('abc')), size: 4 };
  expect(await codeOf(() => collect(zipEntry('x.pt', [wrong]).chunks()))).toBe('INTERNAL');
});
