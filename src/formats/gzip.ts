/**
 * Gzip by the host's own codec, with the checks it leaves out: what the file really is, bounded header fields, and an
 * absolute cap on the output. A ratio is no guide: a checkpoint of zeros shrinks a thousandfold and is legitimate.
 */
import { StudioError } from '../errors.ts';
import { crc32 } from './crc32.ts';
import { toStream, transformed, type Chunk, type Chunks } from './streams.ts';

const MAX_HEADER_BYTES = 64 * 1024;
const FLAG_EXTRA = 4;
const FLAG_NAME = 8;
const FLAG_COMMENT = 16;
const FLAG_CRC = 2;
const FLAGS_RESERVED = 0xe0;

function invalid(name: string, problem: string, fix: string, cause?: unknown): StudioError {
  return new StudioError({ code: 'GZIP_INVALID', message: `${name} ${problem}.`, fix }, { cause });
}

const REPACK = 'Get the file again, or unpack it with another program and pack it with tar and gzip.';

/** Compresses a stream of chunks. */
export function gzip(chunks: Chunks): ReadableStream<Chunk> {
  return toStream(transformed(new CompressionStream('gzip'), chunks, 2 ** 16));
}

const MAGICS: readonly (readonly [string, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zip', [0x50, 0x4b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['7z', [0x37, 0x7a, 0xbc, 0xaf]],
];

/** What the first bytes of a file say it is (512 of them, where the file has as many). */
export function sniffContainer(
  first: Uint8Array,
): 'gzip' | 'tar' | 'zip' | 'zstd' | 'xz' | 'bzip2' | '7z' | 'html' | 'unknown' {
  for (const [kind, magic] of MAGICS) {
    if (magic.every((byte, i) => first[i] === byte))
      return kind as 'gzip' | 'zip' | 'zstd' | 'xz' | 'bzip2' | '7z';
  }
  const text = new TextDecoder('latin1').decode(first);
  if (text.slice(257, 262) === 'ustar') return 'tar';
  return /^\s*<(!doctype|html|\?xml)/i.test(text) ? 'html' : 'unknown';
}

/** The length of the gzip header at the start of `bytes`; null when more bytes are needed. */
function headerLength(name: string, bytes: Uint8Array): number | null {
  if (bytes.byteLength < 10) return null;
  const flags = bytes[3] ?? 0;
  if (bytes[2] !== 8) throw invalid(name, 'is packed by a method other than deflate', REPACK);
  if ((flags & FLAGS_RESERVED) !== 0) throw invalid(name, 'sets reserved flags in its gzip header', REPACK);
  let at = 10;
  if (flags & FLAG_EXTRA) {
    if (bytes.byteLength < at + 2) return null;
    at += 2 + (bytes[at] ?? 0) + 256 * (bytes[at + 1] ?? 0);
  }
  for (const flag of [FLAG_NAME, FLAG_COMMENT]) {
    if (!(flags & flag)) continue;
    const end = bytes.indexOf(0, at);
    if (end === -1) return null;
    at = end + 1;
  }
  if (flags & FLAG_CRC) at += 2;
  return at <= bytes.byteLength ? at : null;
}

/** Passes the chunks on once the gzip header has been seen whole and found sound. */
async function* checkHeader(
  name: string,
  chunks: AsyncIterable<Chunk>,
): AsyncGenerator<Chunk, void, undefined> {
  let head: Chunk | null = new Uint8Array(0);
  for await (const chunk of chunks) {
    if (head === null) {
      yield chunk;
      continue;
    }
    const joined: Chunk = new Uint8Array(head.byteLength + chunk.byteLength);
    joined.set(head);
    joined.set(chunk, head.byteLength);
    head = joined;
    if (head.byteLength >= 2 && sniffContainer(head) !== 'gzip') {
      const kind = sniffContainer(head);
      const found = kind === 'unknown' ? 'is not a gzip file' : `is not a gzip file but ${kind}`;
      throw invalid(name, found, 'Choose a .tar.gz or .tar archive.');
    }
    if (headerLength(name, head) !== null) {
      yield head;
      head = null;
    } else if (head.byteLength > MAX_HEADER_BYTES) {
      throw invalid(name, 'has a gzip header without end', REPACK);
    }
  }
  if (head !== null) throw invalid(name, 'ends within its gzip header', REPACK);
}

/**
 * The end of a gzip file: CRC-32 and length of the one member's content. Hosts differ in what they make of bytes behind
 * a member: browsers refuse them, Node reads a second member, or ignores all that follows a zero byte, whole members
 * included. Only a file that ends with the sums of everything that came out was not cut short.
 */
class EndCheck {
  readonly #tail = new Uint8Array(8);
  #crc = 0;
  #length = 0;

  input(chunk: Uint8Array): void {
    const last = chunk.subarray(-8);
    this.#tail.copyWithin(0, last.byteLength);
    this.#tail.set(last, 8 - last.byteLength);
  }

  output(chunk: Uint8Array): void {
    this.#crc = crc32(chunk, this.#crc);
    this.#length = (this.#length + chunk.byteLength) % 2 ** 32;
  }

  passed(): boolean {
    const view = new DataView(this.#tail.buffer);
    return view.getUint32(0, true) === this.#crc && view.getUint32(4, true) === this.#length;
  }
}

/**
 * Decompresses a file of one member, the same on every host. Throws GZIP_INVALID for damage, truncation, further
 * members and anything else behind the end, and INPUT_TOO_LARGE once more than `maxBytes` have come out.
 */
export async function* gunzip(
  name: string,
  chunks: AsyncIterable<Chunk>,
  maxBytes: number,
): AsyncGenerator<Chunk, void, undefined> {
  // An error of the input (no gzip, a failing disk) is told apart from one of the codec by passing through here.
  let inputError: Error | undefined;
  const end = new EndCheck();
  async function* watched(): AsyncGenerator<Chunk, void, undefined> {
    try {
      for await (const chunk of checkHeader(name, chunks)) {
        end.input(chunk);
        yield chunk;
      }
    } catch (error) {
      inputError = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }
  // 16 KiB of input give at most 16 MiB of output, which is all that a bomb can claim.
  const inflated = transformed(new DecompressionStream('gzip'), watched(), 2 ** 14);
  let total = 0;
  try {
    for await (const chunk of inflated) {
      total += chunk.byteLength;
      if (total > maxBytes) {
        throw new StudioError({
          code: 'INPUT_TOO_LARGE',
          message: `${name} unpacks to more than ${String(maxBytes)} bytes.`,
          fix: 'Check that this is the right file.',
        });
      }
      end.output(chunk);
      yield chunk;
    }
    if (!end.passed())
      throw invalid(name, 'is made of several gzip files, or has something after its end', REPACK);
  } catch (error) {
    if (inputError !== undefined) throw inputError;
    if (error instanceof StudioError) throw error;
    throw invalid(name, 'is damaged, cut off, or has something after its end', REPACK, error);
  }
}
