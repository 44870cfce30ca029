/**
 * Broken and odd safetensors files, numbered as in the list of hostile inputs of the format page (section A).
 * `upstream` is the verdict of the safetensors library 0.8; where ours is stricter, the reason stands beside it.
 */

export interface CorpusCase {
  number: number;
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
  accepted: boolean;
  upstream: boolean;
}

type Json = Record<string, unknown> | string | Uint8Array;

const utf8 = (text: string) => new TextEncoder().encode(text);

/** A file from a header (object, text or bytes) and data; `length` overrides the stated header length. */
export function safetensorsFile(
  header: Json,
  data: Uint8Array = new Uint8Array(0),
  options: { length?: bigint; pad?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const raw =
    header instanceof Uint8Array
      ? header
      : utf8(typeof header === 'string' ? header : JSON.stringify(header));
  const padded =
    (options.pad ?? true) ? new Uint8Array(Math.ceil(raw.byteLength / 8) * 8).fill(0x20) : raw.slice();
  padded.set(raw);
  const file = new Uint8Array(8 + padded.byteLength + data.byteLength);
  new DataView(file.buffer).setBigUint64(0, options.length ?? BigInt(padded.byteLength), true);
  file.set(padded, 8);
  file.set(data, 8 + padded.byteLength);
  return file;
}

const data = (length: number) => new Uint8Array(length).map((_, i) => i % 100);
const entry = (shape: unknown, begin: unknown, end: unknown, dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const good = { a: entry([2, 2], 0, 16) };
const named = (name: string) => safetensorsFile({ [name]: entry([1], 0, 4) }, data(4));
const withShape = (shape: string, bytes = 16) =>
  safetensorsFile(`{"a":{"dtype":"F32","shape":${shape},"data_offsets":[0,${String(bytes)}]}}`, data(bytes));
const withOffsets = (offsets: string) =>
  safetensorsFile(`{"a":{"dtype":"F32","shape":[4],"data_offsets":${offsets}}}`, data(16));
const withDtype = (dtype: string, bytes: number, shape: number[] = [4]) =>
  safetensorsFile({ a: entry(shape, 0, bytes, dtype) }, data(bytes));
const floats = (...values: number[]) => new Uint8Array(new Float32Array(values).buffer);

/** Both refuse, or both accept. */
const same = (
  number: number,
  name: string,
  accepted: boolean,
  bytes: Uint8Array<ArrayBuffer>,
): CorpusCase => ({
  number,
  name,
  bytes,
  accepted,
  upstream: accepted,
});
/** Upstream accepts it; we do not. */
const stricter = (number: number, name: string, bytes: Uint8Array<ArrayBuffer>): CorpusCase => ({
  number,
  name,
  bytes,
  accepted: false,
  upstream: true,
});

function sharedBuffer(count: number): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = {};
  for (let i = 0; i < count; i++) header[`t${String(i)}`] = entry([10, 10], 0, 400);
  return safetensorsFile(header, data(400));
}

/** Every case; the large ones are made on each call. */
export function safetensorsCorpus(): CorpusCase[] {
  const plain = safetensorsFile(good, data(16));
  const bigEndian = plain.slice();
  bigEndian.subarray(0, 8).reverse();
  return [
    same(0, 'a good file', true, plain),
    same(1, 'empty file', false, new Uint8Array(0)),
    same(2, 'seven bytes', false, new Uint8Array(7)),
    same(3, 'header length 0', false, new Uint8Array(8)),
    same(4, 'header longer than the file', false, safetensorsFile(good, data(16), { length: 1000n })),
    same(5, 'header length 2^63', false, safetensorsFile(good, data(16), { length: 2n ** 63n })),
    same(5, 'header length 2^64-1', false, safetensorsFile(good, data(16), { length: 2n ** 64n - 1n })),
    same(5, 'header length 100000001', false, safetensorsFile(good, data(16), { length: 100_000_001n })),
    stricter(6, 'header one over our cap', safetensorsFile(`{}${' '.repeat(16 * 2 ** 20 - 1)}`)),
    same(7, 'header not UTF-8', false, safetensorsFile(new Uint8Array([0x7b, 0xff, 0x7d]))),
    same(8, 'header not JSON', false, safetensorsFile('not json')),
    same(8, 'header truncated', false, safetensorsFile('{"a":{"dtype":"F32","shape":[2,2],')),
    same(9, 'header an array', false, safetensorsFile('[]')),
    same(9, 'header a number', false, safetensorsFile('1')),
    same(9, 'header null', false, safetensorsFile('null')),
    same(9, 'header a string', false, safetensorsFile('"a"')),
    same(10, 'byte order mark', false, safetensorsFile(`\ufeff${JSON.stringify(good)}`, data(16))),
    same(11, 'white space before', true, safetensorsFile(` \n\t${JSON.stringify(good)}`, data(16))),
    same(12, 'NUL after', false, safetensorsFile(`${JSON.stringify(good)}\0`, data(16))),
    same(12, 'spaces after', true, safetensorsFile(`${JSON.stringify(good)}        `, data(16))),
    same(
      13,
      'duplicate tensor',
      false,
      safetensorsFile(
        `{"a":${JSON.stringify(entry([1], 0, 4))},"a":${JSON.stringify(entry([1], 4, 8))}}`,
        data(8),
      ),
    ),
    same(
      14,
      'duplicate field',
      false,
      safetensorsFile('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', data(4)),
    ),
    // Readers differ in which of the two they keep.
    stricter(
      14,
      'duplicate key in the metadata',
      safetensorsFile(
        '{"__metadata__":{"a":"b","a":"c"},"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        data(4),
      ),
    ),
    ...['__proto__', 'constructor', 'toString'].map((name) =>
      // Harmless here, but a trap for every program that keeps tensors in a plain object.
      stricter(
        15,
        `name ${name}`,
        safetensorsFile(`{"${name}":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, data(4)),
      ),
    ),
    same(16, 'metadata a number', false, safetensorsFile({ __metadata__: { a: 1 }, ...good }, data(16))),
    same(16, 'metadata null', true, safetensorsFile({ __metadata__: null, ...good }, data(16))),
    same(16, 'metadata nested', false, safetensorsFile({ __metadata__: { a: {} }, ...good }, data(16))),
    same(17, 'metadata a tensor', false, safetensorsFile({ __metadata__: entry([4], 0, 16) }, data(16))),
    same(18, 'no dtype', false, safetensorsFile({ a: { shape: [4], data_offsets: [0, 16] } }, data(16))),
    same(18, 'no shape', false, safetensorsFile({ a: { dtype: 'F32', data_offsets: [0, 16] } }, data(16))),
    same(18, 'no offsets', false, safetensorsFile({ a: { dtype: 'F32', shape: [4] } }, data(16))),
    stricter(18, 'unknown field', safetensorsFile({ a: { ...good.a, extra: 1 } }, data(16))),
    same(19, 'unknown dtype', false, withDtype('F33', 16)),
    same(19, 'lower-case dtype', false, withDtype('f32', 16)),
    same(19, 'F4 with half a byte', false, withDtype('F4', 2, [3])),
    same(19, 'F6 with a quarter of a byte', false, withDtype('F6_E2M3', 3, [3])),
    same(20, 'negative dim', false, withShape('[-4]')),
    same(20, 'fractional dim', false, withShape('[4.5]')),
    same(20, 'dim 1e3', false, withShape('[1e3]', 4000)),
    same(20, 'dim 4.0', false, withShape('[4.0]')),
    same(20, 'dim over 2^53', false, withShape('[9007199254740993]')),
    same(20, 'dim a string', false, withShape('["4"]')),
    same(20, 'dim null', false, withShape('[null]')),
    same(20, 'dim NaN', false, withShape('[NaN]')),
    same(21, 'product overflows by a shape of two', false, withShape('[2, 18446744073709551614]')),
    same(21, 'product overflows by the dtype', false, withShape('[2, 9223372036854775807]')),
    same(21, 'product past 2^53', false, withShape('[94906267, 94906267]')),
    stricter(22, '1000 dims', withShape(JSON.stringify([4, ...Array.from({ length: 999 }, () => 1)]))),
    same(23, 'offsets reversed', false, withOffsets('[16,0]')),
    same(23, 'offset negative', false, withOffsets('[-16,0]')),
    same(23, 'offset beyond the end', false, withOffsets('[16,32]')),
    same(23, 'one offset', false, withOffsets('[0]')),
    same(23, 'three offsets', false, withOffsets('[0,16,16]')),
    same(23, 'offsets that are no list', false, withOffsets('16')),
    same(24, 'hole at the start', false, safetensorsFile({ a: entry([1], 4, 8) }, data(8))),
    same(24, 'hole', false, safetensorsFile({ a: entry([1], 0, 4), b: entry([1], 8, 12) }, data(12))),
    same(
      25,
      'overlap, partial',
      false,
      safetensorsFile({ a: entry([2], 0, 8), b: entry([2], 4, 12) }, data(12)),
    ),
    same(25, 'overlap, identical', false, sharedBuffer(10)),
    same(26, '100000 tensors over one buffer', false, sharedBuffer(100_000)),
    same(27, 'size is not shape times dtype', false, withOffsets('[0,12]')),
    same(28, 'bytes after the data', false, safetensorsFile(good, data(18))),
    same(29, 'two bytes missing', false, safetensorsFile(good, data(14))),
    same(
      30,
      'empty and 0-d tensors',
      true,
      safetensorsFile({ a: entry([0, 7], 0, 0), b: entry([], 0, 4), c: entry([0], 4, 4) }, data(4)),
    ),
    // The format asks for no alignment, only its writer pads; adapters by any current writer are padded.
    stricter(
      31,
      'data not aligned to 8',
      safetensorsFile(`${JSON.stringify(good)}   `, data(16), { pad: false }),
    ),
    stricter(32, 'name of 1 MB', named('n'.repeat(2 ** 20))),
    stricter(32, 'empty name', named('')),
    stricter(32, 'control character in a name', named('a\u0007b')),
    stricter(32, 'text direction mark in a name', named('a\u202eb')),
    same(
      32,
      'lone surrogate in a name',
      false,
      safetensorsFile('{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', data(4)),
    ),
    stricter(
      32,
      'names that are equal when normalised',
      safetensorsFile({ '\u00e9': entry([1], 0, 4), 'e\u0301': entry([1], 4, 8) }, data(8)),
    ),
    same(33, 'JSON 200000 deep', false, safetensorsFile(`{"a":${'['.repeat(200_000)}`)),
    same(34, 'header length big-endian', false, bigEndian),
    same(
      35,
      'NaN, infinity and denormals',
      true,
      safetensorsFile({ a: entry([4], 0, 16) }, floats(NaN, Infinity, 1e-45, 1)),
    ),
  ];
}
