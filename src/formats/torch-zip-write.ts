/**
 * The zip container of PyTorch's files: nothing compressed, every content at a multiple of 64 bytes (PyTorch maps
 * tensors straight from the file), one folder around everything. Beyond 4 GiB in ZIP64 form.
 */
import { StudioError } from '../errors.ts';
import { joinBytes } from './bytes.ts';
import { crc32 } from './crc32.ts';
import type { FileEntry } from './file-entry.ts';
import type { Chunk } from './streams.ts';

export const STORAGE_ALIGNMENT = 64;
/** Where 32-bit fields end; a field that holds this says "see ZIP64". */
const LIMIT_32 = 0xffffffff;
const LIMIT_16 = 0xffff;
const ZIP64_VERSION = 45;
const PLAIN_VERSION = 20;
/** 1 January 1980, the first day that zip knows: the same bytes at any time. */
const DOS_DATE = 0x21;
const FILLER = 'Z'.charCodeAt(0);

export interface ZipOptions {
  /** Sizes and places from here on are written in ZIP64 form; lower in tests alone. */
  zip64From?: number;
}

interface Placed {
  entry: FileEntry;
  name: Uint8Array;
  /** Where the local header begins. */
  start: number;
  /** Bytes between the name and the content. */
  extra: Chunk;
  zip64: boolean;
}

const encoder = new TextEncoder();

/** Little-endian fields one behind another: `[width, value]`. */
function fields(...list: readonly (readonly [2 | 4 | 8, number])[]): Chunk {
  const bytes = new Uint8Array(list.reduce((sum, [width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [width, value] of list) {
    if (width === 2) view.setUint16(at, value, true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += width;
  }
  return bytes;
}

/** Where each entry goes; the extra field `FB` fills up to the alignment. */
function place(entries: readonly FileEntry[], zip64From: number): { placed: Placed[]; end: number } {
  let at = 0;
  const placed = entries.map((entry): Placed => {
    const name = encoder.encode(entry.path);
    const zip64 = entry.size >= zip64From;
    const sizes = zip64 ? fields([2, 1], [2, 16], [8, entry.size], [8, entry.size]) : new Uint8Array(0);
    const least = at + 30 + name.byteLength + sizes.byteLength + 4;
    const fill = (STORAGE_ALIGNMENT - (least % STORAGE_ALIGNMENT)) % STORAGE_ALIGNMENT;
    const extra = joinBytes([
      sizes,
      encoder.encode('FB'),
      fields([2, fill]),
      new Uint8Array(fill).fill(FILLER),
    ]);
    const start = at;
    at += 30 + name.byteLength + extra.byteLength + entry.size;
    return { entry, name, start, extra, zip64 };
  });
  return { placed, end: at };
}

function localHeader({ entry, name, extra, zip64 }: Placed, crc: number): Chunk {
  const size = zip64 ? LIMIT_32 : entry.size;
  const head = fields(
    [4, 0x04034b50],
    [2, zip64 ? ZIP64_VERSION : PLAIN_VERSION],
    [2, 0],
    [2, 0],
    [2, 0],
    [2, DOS_DATE],
    [4, crc],
    [4, size],
    [4, size],
    [2, name.byteLength],
    [2, extra.byteLength],
  );
  return joinBytes([head, name, extra]);
}

/** The 64-bit fields of a central record: only those whose 32-bit field says so. */
function centralExtra({ entry, start, zip64 }: Placed, farAway: boolean): Chunk {
  const list: [8, number][] = zip64
    ? [
        [8, entry.size],
        [8, entry.size],
      ]
    : [];
  if (farAway) list.push([8, start]);
  return list.length === 0
    ? new Uint8Array(0)
    : joinBytes([fields([2, 1], [2, 8 * list.length]), fields(...list)]);
}

function centralRecord(placed: Placed, crc: number, zip64From: number): Chunk {
  const { entry, name, start, zip64 } = placed;
  const farAway = start >= zip64From;
  const extra = centralExtra(placed, farAway);
  const version = zip64 || farAway ? ZIP64_VERSION : PLAIN_VERSION;
  const size = zip64 ? LIMIT_32 : entry.size;
  const head = fields(
    [4, 0x02014b50],
    [2, version],
    [2, version],
    [2, 0],
    [2, 0],
    [2, 0],
    [2, DOS_DATE],
    [4, crc],
    [4, size],
    [4, size],
    [2, name.byteLength],
    [2, extra.byteLength],
    [2, 0],
    [2, 0],
    [2, 0],
    [4, 0],
    [4, farAway ? LIMIT_32 : start],
  );
  return joinBytes([head, name, extra]);
}

/** What follows the central directory: in ZIP64 form too, where a plain field would not hold its number. */
function endRecords(count: number, start: number, size: number, zip64From: number): Chunk {
  const large = start >= zip64From || size >= zip64From || count >= LIMIT_16;
  const end = fields(
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, large ? LIMIT_16 : count],
    [2, large ? LIMIT_16 : count],
    [4, large ? LIMIT_32 : size],
    [4, large ? LIMIT_32 : start],
    [2, 0],
  );
  if (!large) return end;
  const record = fields(
    [4, 0x06064b50],
    [8, 44],
    [2, ZIP64_VERSION],
    [2, ZIP64_VERSION],
    [4, 0],
    [4, 0],
    [8, count],
    [8, count],
    [8, size],
    [8, start],
  );
  return joinBytes([record, fields([4, 0x07064b50], [4, 0], [8, start + size], [4, 1]), end]);
}

async function* zipChunks(
  placed: readonly Placed[],
  end: number,
  zip64From: number,
): AsyncGenerator<Chunk, void, undefined> {
  const records: Chunk[] = [];
  for (const item of placed) {
    // The checksum stands in front of the content, so the content is asked for twice; it is never held.
    let crc = 0;
    let size = 0;
    for await (const chunk of item.entry.chunks()) {
      crc = crc32(chunk, crc);
      size += chunk.byteLength;
    }
    if (size !== item.entry.size) {
      throw new StudioError({
        code: 'INTERNAL',
        message: `${item.entry.path} gave ${String(size)} bytes and had announced ${String(item.entry.size)}.`,
        fix: 'This is a bug in Lorikeet. Please report it with this message.',
      });
    }
    yield localHeader(item, crc);
    yield* item.entry.chunks();
    records.push(centralRecord(item, crc, zip64From));
  }
  const directory = joinBytes(records);
  yield directory;
  yield endRecords(placed.length, end, directory.byteLength, zip64From);
}

/** A zip with these entries, in this order, as an entry of its own. */
export function zipEntry(path: string, entries: readonly FileEntry[], options: ZipOptions = {}): FileEntry {
  const zip64From = options.zip64From ?? LIMIT_32;
  const { placed, end } = place(entries, zip64From);
  const directory = placed.reduce((sum, item) => sum + centralRecord(item, 0, zip64From).byteLength, 0);
  const tail = endRecords(placed.length, end, directory, zip64From).byteLength;
  return { path, size: end + directory + tail, chunks: () => zipChunks(placed, end, zip64From) };
}
