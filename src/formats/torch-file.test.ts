import { describe, expect, it } from 'vitest';
import { bytesSource } from './bytes.ts';
import { bytesEntry } from './file-entry.ts';
import { PICKLE_LIMITS } from './pickle-stack.ts';
import {
  countingSource,
  FOUR_FLOATS,
  int,
  materialised,
  pickleOf,
  raw,
  readTorch,
  tensorOps,
  text,
  torchBytes,
  type Part,
} from './testing-torch.ts';
import { codeOf, collect } from './testing.ts';
import { openTorchTensors, readTorchFile, torchFileEntry } from './torch-file.ts';
import { dict, floatTensor, tuple, type TorchTensor, type TorchValue } from './torch-values.ts';
import { zipEntry } from './torch-zip-write.ts';

const INVALID = 'TORCH_FILE_INVALID';
const codeFor = async (...parts: readonly Part[]) =>
  codeOf(async () => readTorch(await torchBytes(pickleOf(...parts))));
const messageFor = async (...parts: readonly Part[]) =>
  readTorch(await torchBytes(pickleOf(...parts))).catch((error: Error) => error.message);
const uint32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

describe('what is written', () => {
  const values: TorchValue = dict([
    ['none', null],
    ['yes', true],
    ['no', false],
    ['ints', [0n, 255n, 256n, 65535n, 65536n, -1n, -(2n ** 31n), 2n ** 31n, 2n ** 63n - 1n, -(2n ** 63n)]],
    ['floats', [0, 1, -0, 1e-12, Infinity]],
    ['text', 'ü€😀'],
    [7n, tuple()],
    ['tuple', tuple(0.9, 0.95)],
    ['nested', dict([[0n, dict([['t', floatTensor([2, 2], Float32Array.of(1, 2, 3, 4))]])]])],
    ['scalar', floatTensor([], Float32Array.of(3))],
    ['empty', floatTensor([0, 3], new Float32Array(0))],
    ['lists', [[], [dict([])]]],
  ]);

  it('comes back as it was, ints and floats apart', async () => {
    const bytes = await collect(torchFileEntry('a/state.pt', values).chunks());
    expect(await readTorch(bytes)).toEqual(await materialised(values));
    expect(bytes.byteLength).toBe(torchFileEntry('a/state.pt', values).size);
  });

  it('is the same bytes each time, and aligned to 64', async () => {
    const once = await collect(torchFileEntry('state.pt', values).chunks());
    expect(await collect(torchFileEntry('state.pt', values).chunks())).toEqual(once);
    const at = Buffer.from(once).indexOf(Buffer.from(Float32Array.of(1, 2, 3, 4).buffer));
    expect(at % 64).toBe(0);
  });

  it('reads in ZIP64 form as well', async () => {
    const bytes = await collect(torchFileEntry('state.pt', values, { zip64From: 1 }).chunks());
    expect(await readTorch(bytes)).toEqual(await materialised(values));
    expect(bytes.byteLength).toBe(torchFileEntry('state.pt', values, { zip64From: 1 }).size);
  });

  it('refuses values that no reader would take', async () => {
    let deep: TorchValue = [];
    for (let i = 0; i < 70; i++) deep = [deep];
    expect(await codeOf(() => torchFileEntry('x.pt', deep))).toBe('INTERNAL');
    const wrong: TorchTensor = { kind: 'tensor', dtype: 'F32', shape: [3], bytes: () => new Uint8Array(4) };
    expect(await codeOf(() => collect(torchFileEntry('x.pt', wrong).chunks()))).toBe('INTERNAL');
  });
});

describe('tensors', () => {
  it('gives a transposed view in row-major order', async () => {
    const ops = tensorOps({ shape: [int(2), int(2)], strides: [int(1), int(2)] });
    const bytes = Array.from(new Uint8Array(Float32Array.of(1, 3, 2, 4).buffer));
    expect(await readTorch(await torchBytes(pickleOf(ops)))).toEqual({ dtype: 'F32', shape: [2, 2], bytes });
  });

  it('reads two tensors that share a storage without touching each other', async () => {
    const half = (offset: number) => tensorOps({ offset: int(offset), shape: [int(2)] });
    const read = await readTorch(await torchBytes(pickleOf('(', half(0), half(2), 't')));
    expect(read).toMatchObject({ tuple: [{ shape: [2] }, { shape: [2] }] });
  });

  it('reads parameters and sizes', async () => {
    const parameter = raw(
      'ctorch._utils\n_rebuild_parameter\n(',
      tensorOps(),
      '\x88ccollections\nOrderedDict\n)RtR',
    );
    expect(await codeFor(parameter)).toBe('no error');
    expect(await codeFor('ctorch._utils\n_rebuild_parameter\n(K\x01\x88}tR')).toBe(INVALID);
    expect(await readTorch(await torchBytes(pickleOf('ctorch\nSize\n((K\x02K\x03ttR')))).toEqual({
      tuple: [2n, 3n],
    });
  });

  it('reads a file of tensors as named tensors', async () => {
    const file = torchFileEntry('adapter_model.bin', dict([['a', floatTensor([2], Float32Array.of(5, 6))]]));
    const tensors = await openTorchTensors(bytesSource('adapter_model.bin', await collect(file.chunks())));
    expect(tensors.list()).toEqual([{ name: 'a', dtype: 'F32', shape: [2], byteLength: 8 }]);
    expect(tensors.get('a')?.byteLength).toBe(8);
    expect(Array.from(new Float32Array((await tensors.read('a')).slice().buffer))).toEqual([5, 6]);
    expect(await codeOf(() => tensors.read('b'))).toBe(INVALID);
    for (const pickle of [
      pickleOf(']'),
      pickleOf('}', text('a'), 'K\x01s'),
      pickleOf('}K\x01', tensorOps(), 's'),
    ]) {
      const bytes = await torchBytes(pickle);
      expect(await codeOf(() => openTorchTensors(bytesSource('x.pt', bytes)))).toBe(INVALID);
    }
  });
});

describe('hostile files (section 9 E)', () => {
  it('93, 94: names what a file wants to call, and calls nothing', async () => {
    for (const [module, name] of [
      ['os', 'system'],
      ['posix', 'system'],
      ['builtins', 'eval'],
      ['builtins', 'getattr'],
      ['_codecs', 'encode'],
      ['numpy.core.multiarray', '_reconstruct'],
      ['torch', 'load'],
      ['torch._utils', '_rebuild_tensor_v3'],
      ['__proto__', 'constructor'],
    ]) {
      const message = await messageFor(`c${module}\n${name}\n(`, text('id'), 'tR');
      expect(message).toContain(`${module}.${name}`);
      expect(message).toContain('code');
    }
    expect(await codeFor('cos\nsystem')).toBe(INVALID);
    expect(await codeFor('c', 'a'.repeat(400), '\nb\n')).toBe(INVALID);
    expect(await codeFor(`c\xff\nb\n`)).toBe(INVALID);
  });

  it('95: refuses the operations that plain values do not need, by name', async () => {
    for (const [op, name] of [
      ['\x93', 'STACK_GLOBAL'],
      ['i', 'INST'],
      ['o', 'OBJ'],
      ['\x81', 'NEWOBJ'],
      ['\x82', 'EXT1'],
      ['\x95', 'FRAME'],
      ['\x8f', 'EMPTY_SET'],
      ['P', 'PERSID'],
      ['\xff', '0xff'],
      ['\x00', '0x00'],
    ] as const) {
      expect(await messageFor('K\x01K\x01', op)).toContain(name);
    }
    const ordered = 'ccollections\nOrderedDict\n)R';
    expect(await messageFor(ordered, '}', text('a'), 'K\x01sb')).toContain('BUILD');
    expect(await messageFor('}}b')).toContain('BUILD');
    expect(await codeFor(ordered, '}b')).toBe('no error');
    for (const version of [0, 1, 3, 4, 5]) {
      const pickle = raw('\x80', [version], 'K\x01.');
      expect(await codeOf(async () => readTorch(await torchBytes(pickle)))).toBe(INVALID);
    }
  });

  it('96: a bad operation is refused where it stands, whatever follows', async () => {
    expect(await messageFor('cos\nsystem\n(', text('id'), 'tR\xff\xff\xff')).toContain('os.system');
  });

  it('97: bounds memo, lengths, depth, repetition and cycles', async () => {
    expect(await codeFor('K\x01r', uint32(1e9))).toBe(INVALID);
    expect(await codeFor('j', uint32(5))).toBe(INVALID);
    expect(await codeFor('h\x05')).toBe(INVALID);
    expect(await codeFor('X', uint32(0xffffffff))).toBe(INVALID);
    expect(
      await codeFor(
        'X',
        uint32(PICKLE_LIMITS.stringBytes + 1),
        new Uint8Array(PICKLE_LIMITS.stringBytes + 1),
      ),
    ).toBe(INVALID);
    expect(await codeFor('\x8a\xff')).toBe(INVALID);
    expect(await codeFor('\x8a\x09', new Uint8Array(9))).toBe(INVALID);
    const million = 1_000_000;
    expect(await codeFor(']'.repeat(million), 'a'.repeat(million - 1))).toBe(INVALID);
    expect(await codeFor(']'.repeat(70), 'a'.repeat(69))).toBe(INVALID);
    expect(await codeFor(']'.repeat(60), 'a'.repeat(59))).toBe('no error');
    expect(await codeFor('('.repeat(70), 't'.repeat(70))).toBe(INVALID);
    expect(await codeFor('}'.repeat(million))).toBe(INVALID);
    expect(await messageFor(']q\x00h\x00a')).toContain('itself');
    expect(await messageFor('}q\x00', text('a'), 'h\x00s')).toContain('itself');
    const laughs = Array.from({ length: 12 }, (_, i) =>
      raw(`](${'h'}`, [i], 'h', [i], 'h', [i], 'h', [i], 'eq', [i + 1]),
    );
    expect(await messageFor('(]q\x00', ...laughs, 't')).toContain('repeat');
  });

  it('97: gives up early on what claims much, without reading it', async () => {
    const pickle = pickleOf(tensorOps({ numel: int(2 ** 30), shape: [int(2 ** 30)] }));
    const source = countingSource(await torchBytes(pickle));
    expect(await codeOf(() => readTorchFile(source))).toBe(INVALID);
    expect(source.count).toBeLessThan(2 * source.size);
  });

  it('98: refuses operations on the wrong kind of value', async () => {
    for (const ops of [
      raw(']K\x01K\x02s'),
      raw(']](K\x01K\x02u'),
      raw(tensorOps(), 'K\x01K\x02s'),
      raw('ctorch\nFloatStorage\nK\x01K\x02s'),
      raw('}K\x01a'),
      raw('}(K\x01e'),
      raw(')K\x01a'),
      raw('}(K\x01u'),
      raw('}(G', new Uint8Array(8), 'K\x02u'),
      raw('}(NK\x02u'),
      raw('})K\x02s'),
      raw('}(K\x01K\x02K\x01K\x03u'),
      raw('a'),
      raw('s'),
      raw('K\x01(\x85t'),
      raw('t'),
      raw('e'),
      raw('R'),
      raw('q\x00'),
      raw('K\x01K\x02'),
      raw('K\x01('),
      raw('N)R'),
      raw('ccollections\nOrderedDict\n(K\x01tR'),
      raw('ccollections\nOrderedDict\nK\x01R'),
      raw('ctorch\nFloatStorage\n)R'),
      raw('ctorch\nFloatStorage\n'),
      raw('](ccollections\nOrderedDict\ne'),
      raw('U\x01\xff'),
      raw('X', uint32(1), '\xff'),
    ]) {
      expect(await codeFor(ops), Buffer.from(ops).toString('latin1')).toBe(INVALID);
    }
    const withoutStop = raw('\x80\x02K\x01');
    for (const pickle of [withoutStop, raw(pickleOf('K\x01'), 'K'), pickleOf(), raw(''), raw('\x80')]) {
      expect(await codeOf(async () => readTorch(await torchBytes(pickle)))).toBe(INVALID);
    }
    expect(await readTorch(await torchBytes(pickleOf('U\x02ab')))).toBe('ab');
  });

  it('99: refuses references to storages that are not exactly one', async () => {
    const pid = (...items: readonly Part[]) => tensorOps({ pid: raw('(', ...items, 't') });
    const float = 'ctorch\nFloatStorage\n';
    for (const ops of [
      tensorOps({ pid: text('0') }),
      pid(text('module'), float, text('0'), text('cpu'), int(4)),
      pid(text('storage'), text('FloatStorage'), text('0'), text('cpu'), int(4)),
      pid(text('storage'), 'ccollections\nOrderedDict\n', text('0'), text('cpu'), int(4)),
      pid(text('storage'), float, int(0), text('cpu'), int(4)),
      pid(text('storage'), float, text('0'), text('cpu')),
      pid(text('storage'), float, text('0'), int(0), int(4)),
      pid(text('storage'), float, text('0'), text('cpu'), int(4), 'N'),
      tensorOps({ type: 'torch\nUntypedStorage\n' }),
      tensorOps({ key: text('../../x') }),
      tensorOps({ key: text('') }),
      tensorOps({ key: text('00') }),
      tensorOps({ key: text('__proto__') }),
      tensorOps({ key: text('1') }),
      tensorOps({ numel: int(-4) }),
      tensorOps({ numel: raw('\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f') }),
      tensorOps({ numel: int(3) }),
      tensorOps({ numel: int(5) }),
      tensorOps({ numel: raw('G', new Uint8Array(8)) }),
      tensorOps({ numel: '\x88' }),
      raw(
        tensorOps({ shape: [int(2)] }),
        tensorOps({ type: 'torch\nIntStorage\n', offset: int(2), shape: [int(2)] }),
        '\x86',
      ),
    ]) {
      expect(await codeFor(ops), Buffer.from(ops).toString('latin1')).toBe(INVALID);
    }
  });

  it('100: refuses views that leave their storage, overlap or want gradients', async () => {
    for (const ops of [
      tensorOps({ offset: int(1) }),
      tensorOps({ offset: int(-1) }),
      tensorOps({ shape: [int(5)] }),
      tensorOps({ shape: [int(-4)] }),
      tensorOps({ shape: [int(2)], strides: [int(4)] }),
      tensorOps({ strides: [int(-1)] }),
      tensorOps({ strides: [int(0)] }),
      tensorOps({ shape: [int(2), int(3)], strides: [int(1), int(1)] }),
      tensorOps({ shape: [int(2 ** 30)], strides: [int(0)] }),
      tensorOps({
        shape: Array.from({ length: 4 }, () => int(2 ** 30)),
        strides: Array.from({ length: 4 }, () => int(0)),
      }),
      tensorOps({ shape: [int(2), int(2)], strides: [int(2)] }),
      tensorOps({
        shape: Array.from({ length: 65 }, () => int(1)),
        strides: Array.from({ length: 65 }, () => int(1)),
      }),
      tensorOps({ requiresGrad: '\x88' }),
      tensorOps({ requiresGrad: 'N' }),
      tensorOps({ hooks: 'N' }),
      tensorOps({ hooks: raw('}', text('a'), 'K\x01s') }),
      raw(tensorOps(), tensorOps({ offset: int(3), shape: [int(1)] }), '\x86'),
    ]) {
      expect(await codeFor(ops), Buffer.from(ops).toString('latin1')).toBe(INVALID);
    }
    expect(await codeFor(tensorOps({ shape: [int(0)], strides: [int(1)] }))).toBe('no error');
    expect(await codeFor(tensorOps({ offset: int(3), shape: [], strides: [] }))).toBe('no error');
    expect(await codeFor(tensorOps({ shape: [int(2)], strides: [int(2)] }))).toBe('no error');
  });

  it('101: refuses another byte order or none', async () => {
    const code = async (changes: Parameters<typeof torchBytes>[1]) =>
      codeOf(async () => readTorch(await torchBytes(pickleOf('K\x01'), changes)));
    expect(await code({})).toBe('no error');
    expect(await code({ 'x/byteorder': 'big' })).toBe(INVALID);
    expect(await code({ 'x/byteorder': null })).toBe(INVALID);
    expect(await code({ 'x/byteorder': 'l'.repeat(100) })).toBe(INVALID);
    expect(await code({ 'x/version': null })).toBe(INVALID);
    expect(await code({ 'x/version': '11' })).toBe(INVALID);
    expect(await code({ 'x/data.pkl': null })).toBe(INVALID);
    expect(await code({ 'x/notes.txt': 'hello' })).toBe(INVALID);
    expect(await code({ 'x/data/01': 'hello' })).toBe(INVALID);
    expect(await code({ 'x/.data/serialization_id': '0'.repeat(40), 'x/.format_version': '1' })).toBe(
      'no error',
    );
  });

  it('101: refuses a pickle beyond any real one before reading it', async () => {
    const zeros = new Uint8Array(2 ** 20);
    const size = 33 * 2 ** 20;
    const pickle = { path: 'x/data.pkl', size, chunks: () => Array.from({ length: 33 }, () => zeros) };
    const file = zipEntry('x.pt', [
      pickle,
      bytesEntry('x/byteorder', raw('little')),
      bytesEntry('x/version', raw('3\n')),
    ]);
    const source = countingSource(await collect(file.chunks()));
    expect(await codeOf(() => readTorchFile(source))).toBe('INPUT_TOO_LARGE');
    expect(source.count).toBeLessThan(10_000);
  });

  it('103, 104: names the old formats and TorchScript', async () => {
    const message = async (bytes: Parameters<typeof readTorch>[0]) =>
      readTorch(bytes).catch((error: Error) => error.message);
    expect(await message(raw('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'))).toContain('old format');
    expect(await message(raw('ustar'.padEnd(512, '\0')))).toContain('old format');
    expect(await message(raw('<html>'))).toContain('not a file of torch.save');
    expect(await message(raw(''))).toContain('not a file of torch.save');
    const script = await torchBytes(pickleOf('K\x01'), {
      'x/constants.pkl': '',
      'x/code/__torch__.py': 'pass',
    });
    expect(await message(script)).toContain('TorchScript');
  });

  it('finds a changed tensor by its checksum', async () => {
    const good = await torchBytes(pickleOf(tensorOps()));
    const at = Buffer.from(good).indexOf(Buffer.from(FOUR_FLOATS));
    const bad = good.slice();
    bad[at] = 1;
    expect(await codeOf(() => readTorch(bad))).toBe(INVALID);
  });
});
