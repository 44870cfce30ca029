/**
 * A strict tar reader over a stream: plain files in ustar, with PAX and GNU long names. Whatever readers are known to
 * disagree about is refused. Nothing is extracted by name anywhere; the caller gets names and bytes.
 */
import { StudioError } from '../errors.ts';
import type { Chunk } from './streams.ts';
import { parseLongName, parsePax, parseTarHeader, type PaxRecords, type TarHeader } from './tar-header.ts';
import { PathRegister, tarError } from './tar-names.ts';
import { BLOCK } from './tar-write.ts';

const MAX_ENTRIES = 10_000;
const MAX_EXTENSION_BYTES = 64 * 1024;

export interface TarLimits {
  /** Largest single file. */
  maxFileBytes: number;
  /** All files together. */
  maxTotalBytes: number;
}

export interface TarFile {
  path: string;
  size: number;
  /** The content, once; what is not taken is skipped when the next file is asked for. */
  content: AsyncIterable<Chunk>;
}

/** The archive's bytes in blocks and runs. */
class TarBytes {
  readonly #chunks: AsyncIterator<Chunk>;
  readonly #archive: string;
  #rest: Chunk = new Uint8Array(0);

  constructor(archive: string, chunks: AsyncIterable<Chunk>) {
    this.#archive = archive;
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next bytes, at most `limit`; null at the end of the stream. */
  async next(limit: number): Promise<Chunk | null> {
    while (this.#rest.byteLength === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return null;
      this.#rest = next.value;
    }
    const part = this.#rest.subarray(0, limit);
    this.#rest = this.#rest.subarray(part.byteLength);
    return part;
  }

  /** Exactly `length` bytes, which is small. */
  async take(length: number, what: string): Promise<Chunk> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const part = await this.next(length - at);
      if (part === null) throw tarError(this.#archive, `it ends within ${what}`);
      bytes.set(part, at);
      at += part.byteLength;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}

function tooLarge(archive: string, what: string, limit: number): StudioError {
  return new StudioError({
    code: 'INPUT_TOO_LARGE',
    message: `${archive}: ${what} is larger than ${String(limit)} bytes.`,
    fix: 'Check that this is the right file.',
  });
}

function isZero(bytes: Uint8Array): boolean {
  // Gigabytes of zeros may follow the end mark. V8 is ten times slower with `every`, and with byteLength in the loop.
  const { length } = bytes;
  for (let i = 0; i < length; i++) if (bytes[i] !== 0) return false;
  return true;
}
const paddingOf = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

async function readExtension(archive: string, bytes: TarBytes, size: number): Promise<Chunk> {
  if (size > MAX_EXTENSION_BYTES) throw tarError(archive, `an extended header has ${String(size)} bytes`);
  const body = await bytes.take(size, 'an extended header');
  await bytes.take(paddingOf(size), 'an extended header');
  return body;
}

/** What extension entries said about the file that follows them. */
interface Pending {
  pax?: PaxRecords;
  longName?: string;
}

/** Applies the extensions to the header of the file they belong to. */
function resolve(archive: string, header: TarHeader, pending: Pending): { name: string; size: number } {
  const { pax, longName } = pending;
  if (pax?.path !== undefined && longName !== undefined && pax.path !== longName) {
    throw tarError(archive, 'two extended headers give one file two names');
  }
  const size = pax?.size ?? header.size;
  // Readers that trust one of two different sizes see different archives (CVE-2025-62518).
  if (header.size !== 0 && size !== header.size) throw tarError(archive, 'a file has two different sizes');
  return { name: pax?.path ?? longName ?? header.name, size };
}

/** Reads the extension entry into `pending`; at most one of each kind, and a long name not after PAX records. */
async function readPending(
  archive: string,
  bytes: TarBytes,
  header: TarHeader,
  pending: Pending,
): Promise<void> {
  if (pending.pax !== undefined || (header.type === 'long-name' && pending.longName !== undefined)) {
    throw tarError(archive, 'a file has too many extended headers');
  }
  const body = await readExtension(archive, bytes, header.size);
  if (header.type === 'pax') pending.pax = parsePax(archive, body);
  else pending.longName = parseLongName(archive, body);
}

async function checkEnd(archive: string, bytes: TarBytes): Promise<void> {
  if (!isZero(await bytes.take(BLOCK, 'its end mark'))) throw tarError(archive, 'its end mark is damaged');
  for (let rest = await bytes.next(2 ** 20); rest !== null; rest = await bytes.next(2 ** 20)) {
    if (!isZero(rest)) throw tarError(archive, 'there is something after its end');
  }
}

/** The files of a tar archive, in order. Throws TAR_INVALID or INPUT_TOO_LARGE; leaving early closes the input. */
export async function* readTar(
  archive: string,
  chunks: AsyncIterable<Chunk>,
  limits: TarLimits,
): AsyncGenerator<TarFile, void, undefined> {
  const bytes = new TarBytes(archive, chunks);
  const paths = new PathRegister(archive);
  let entries = 0;
  let total = 0;
  let pending: Pending = {};
  try {
    for (;;) {
      const block = await bytes.take(
        BLOCK,
        entries === 0 ? 'its first header' : 'a header or before its end mark',
      );
      if (isZero(block)) {
        if (Object.keys(pending).length > 0) throw tarError(archive, 'an extended header has no file');
        await checkEnd(archive, bytes);
        return;
      }
      const header = parseTarHeader(archive, block);
      if (header.type === 'pax' || header.type === 'long-name') {
        await readPending(archive, bytes, header, pending);
        continue;
      }
      const { name, size } = resolve(archive, header, pending);
      pending = {};
      if (++entries > MAX_ENTRIES)
        throw tarError(archive, `it holds more than ${String(MAX_ENTRIES)} entries`);
      const path = paths.add(name, header.type === 'folder');
      if (header.type === 'folder' || path === null) {
        if (size !== 0) throw tarError(archive, 'a folder has a content');
        continue;
      }
      total += size;
      if (size > limits.maxFileBytes) throw tooLarge(archive, path, limits.maxFileBytes);
      if (total > limits.maxTotalBytes) throw tooLarge(archive, 'all content', limits.maxTotalBytes);

      let left = size;
      const content = (async function* (): AsyncGenerator<Chunk, void, undefined> {
        while (left > 0) {
          const part = await bytes.next(left);
          if (part === null) throw tarError(archive, `it ends within ${path}`);
          left -= part.byteLength;
          yield part;
        }
      })();
      yield { path, size, content };
      while (left > 0) {
        const part = await bytes.next(left);
        if (part === null) throw tarError(archive, `it ends within ${path}`);
        left -= part.byteLength;
      }
      await bytes.take(paddingOf(size), path);
    }
  } finally {
    await bytes.close();
  }
}
