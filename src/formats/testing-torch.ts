/** PyTorch files and pickles put together piece by piece, so that tests can break any part of them. */
import { bytesSource, type ByteSource } from './bytes.ts';
import { bytesEntry, textEntry, type FileEntry } from './file-entry.ts';
import type { Chunk } from './streams.ts';
import { collect } from './testing.ts';
import { readTorchFile } from './torch-file.ts';
import { isTensor, isTuple, type TorchTensor, type TorchValue } from './torch-values.ts';
import { zipEntry } from './torch-zip-write.ts';

export type Part = string | readonly number[] | Uint8Array;

/** Bytes from texts (one byte per character), numbers and bytes. */
export function raw(...parts: readonly Part[]): Chunk {
  return new Uint8Array(
    Buffer.concat(
      parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
    ),
  );
}

/** A pickle of protocol 2 around these operations. */
export const pickleOf = (...parts: readonly Part[]): Chunk => raw('\x80\x02', ...parts, '.');

/** BINUNICODE. */
export function text(value: string): Chunk {
  const bytes = new TextEncoder().encode(value);
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, bytes.byteLength, true);
  return raw('X', head, bytes);
}

/** BININT. */
export function int(value: number): Chunk {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return raw('J', bytes);
}

export interface TensorOps {
  key?: Part;
  type?: string;
  numel?: Part;
  offset?: Part;
  shape?: readonly Part[];
  strides?: readonly Part[];
  requiresGrad?: string;
  hooks?: Part;
  /** Instead of the whole reference to the storage. */
  pid?: Part;
}

/** The operations that make a tensor; by default four floats of the storage 0. */
export function tensorOps(changes: TensorOps = {}): Chunk {
  const { key = text('0'), type = 'torch\nFloatStorage\n', numel = int(4), offset = int(0) } = changes;
  const { shape = [int(4)], strides = [int(1)], requiresGrad = '\x89' } = changes;
  const hooks = changes.hooks ?? 'ccollections\nOrderedDict\n)R';
  const pid = changes.pid ?? raw('(', text('storage'), 'c', type, key, text('cpu'), numel, 't');
  const sizes = (list: readonly Part[]): Chunk => raw('(', ...list, 't');
  const args = [pid, 'Q', offset, sizes(shape), sizes(strides), requiresGrad, hooks];
  return raw('ctorch._utils\n_rebuild_tensor_v2\n(', ...args, 'tR');
}

/** Four floats as a storage. */
export const FOUR_FLOATS: Chunk = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);

/** The entries of a PyTorch file, some of them changed (bytes, text) or taken away (null). */
export async function torchBytes(
  pickle: Chunk,
  changes: Readonly<Record<string, Chunk | string | null>> = {},
): Promise<Chunk> {
  const contents: Record<string, Chunk | string | null> = {
    'x/data.pkl': pickle,
    'x/byteorder': 'little',
    'x/data/0': FOUR_FLOATS,
    'x/version': '3\n',
    ...changes,
  };
  const entries = Object.entries(contents).flatMap(([path, content]): FileEntry[] => {
    if (content === null) return [];
    return [typeof content === 'string' ? textEntry(path, content) : bytesEntry(path, content)];
  });
  return collect(zipEntry('x.pt', entries).chunks());
}

/** A source that counts the bytes that were read from it. */
export function countingSource(bytes: Chunk): ByteSource & { count: number } {
  const inner = bytesSource('x.pt', bytes);
  const source = {
    name: inner.name,
    size: inner.size,
    count: 0,
    read: (start: number, end: number) => {
      source.count += end - start;
      return inner.read(start, end);
    },
  };
  return source;
}

/** A value with every tensor read: `{ dtype, shape, bytes }` in the tensor's place. */
export async function materialised(value: TorchValue): Promise<unknown> {
  const tensor = async (from: TorchTensor): Promise<unknown> => ({
    dtype: from.dtype,
    shape: from.shape,
    bytes: Array.from(await from.bytes()),
  });
  if (isTensor(value)) return tensor(value);
  if (isTuple(value)) return { tuple: await Promise.all(value.items.map(materialised)) };
  if (Array.isArray(value)) return Promise.all(value.map(materialised));
  if (!(value instanceof Map)) return value;
  const members = Array.from(value, async ([key, item]) => [key, await materialised(item)] as const);
  return new Map(await Promise.all(members));
}

/** Reads a PyTorch file whole, tensors included. */
export async function readTorch(bytes: Chunk): Promise<unknown> {
  return materialised(await readTorchFile(bytesSource('x.pt', bytes)));
}

export interface RawZipEntry {
  name: string;
  content?: Chunk;
  method?: number;
  flags?: number;
  crc?: number;
  /** What the local header says where it differs. */
  local?: { name?: string; size?: number; crc?: number; flags?: number; method?: number };
  /** What the directory says where it differs. */
  central?: { size?: number; packed?: number; offset?: number; extra?: Chunk };
  /** Bytes behind the content. */
  behind?: Chunk;
}

const fields = (...list: readonly (readonly [number, number])[]): Chunk =>
  raw(
    ...list.map(([width, value]) =>
      Array.from({ length: width }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256),
    ),
  );

/** A zip whose every field can lie. */
export function rawZip(
  entries: readonly RawZipEntry[],
  options: { before?: Chunk; count?: number; comment?: string; middle?: Chunk; tail?: Chunk } = {},
): Chunk {
  const parts: Chunk[] = [options.before ?? raw('')];
  const records: Chunk[] = [];
  let at = parts[0]?.byteLength ?? 0;
  for (const entry of entries) {
    const { name, content = raw(''), method = 0, flags = 0, crc = 0, local = {}, central = {} } = entry;
    const size = content.byteLength;
    const localName = local.name ?? name;
    const head = fields(
      [4, 0x04034b50],
      [2, 20],
      [2, local.flags ?? flags],
      [2, local.method ?? method],
      [2, 0],
      [2, 33],
      [4, local.crc ?? crc],
      [4, local.size ?? size],
      [4, local.size ?? size],
      [2, localName.length],
      [2, 0],
    );
    const extra = central.extra ?? raw('');
    records.push(
      raw(
        fields(
          [4, 0x02014b50],
          [2, 20],
          [2, 20],
          [2, flags],
          [2, method],
          [2, 0],
          [2, 33],
          [4, crc],
          [4, central.packed ?? size],
          [4, central.size ?? size],
          [2, name.length],
          [2, extra.byteLength],
          [2, 0],
          [2, 0],
          [2, 0],
          [4, 0],
          [4, central.offset ?? at],
        ),
        name,
        extra,
      ),
    );
    const part = raw(head, localName, content, entry.behind ?? '');
    parts.push(part);
    at += part.byteLength;
  }
  const directory = raw(...records);
  const count = options.count ?? entries.length;
  const comment = options.comment ?? '';
  const end = fields(
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, count],
    [2, count],
    [4, directory.byteLength],
    [4, at + (options.middle?.byteLength ?? 0)],
    [2, comment.length],
  );
  return raw(...parts, options.middle ?? '', directory, options.tail ?? '', end, comment);
}

/** The entries that make a file of one number, for `rawZip`. */
export function minimalEntries(changes: Readonly<Record<string, Partial<RawZipEntry>>> = {}): RawZipEntry[] {
  const entries: RawZipEntry[] = [
    { name: 'x/data.pkl', content: pickleOf('K\x01') },
    { name: 'x/byteorder', content: raw('little') },
    { name: 'x/version', content: raw('3\n') },
  ];
  return entries.map((entry) => ({ ...entry, ...changes[entry.name] }));
}
