/** Unpacks a downloaded archive. Links, devices, paths that leave the folder and sizes that lie are refused. */
import { gunzip, sniffContainer } from '../formats/gzip.ts';
import type { Chunk } from '../formats/streams.ts';
import { readTar } from '../formats/tar-read.ts';
import { BadRequestError, ConflictError } from './errors.ts';

/** Where files go. Paths are relative, with "/", and checked. */
export interface ExtractTarget {
  exists(path: string): boolean | Promise<boolean>;
  write(path: string, content: AsyncIterable<Uint8Array>): Promise<void>;
}

export interface ExtractOptions {
  /** Overwrites files that are there. */
  force?: boolean;
  /** All files together; 64 GiB unless said otherwise. */
  maxBytes?: number;
}

type Source = Uint8Array | AsyncIterable<Uint8Array>;

async function* chunksOf(source: Source): AsyncGenerator<Chunk, void, undefined> {
  if (source instanceof Uint8Array) {
    yield source.slice();
    return;
  }
  for await (const chunk of source) if (chunk.byteLength > 0) yield chunk.slice();
}

async function* startingWith(first: readonly Chunk[], rest: AsyncGenerator<Chunk, void, undefined>) {
  yield* first;
  yield* rest;
}

/** Unpacks a tar or tar.gz into the target and lists what was written. Throws TAR_INVALID, GZIP_INVALID, ConflictError. */
export async function extractCheckpointArchive(
  source: Source,
  target: ExtractTarget,
  options: ExtractOptions = {},
): Promise<{ path: string; size: number }[]> {
  const { force = false, maxBytes = 64 * 2 ** 30 } = options;
  const chunks = chunksOf(source);
  const head: Chunk[] = [];
  let length = 0;
  while (length < 512) {
    const next = await chunks.next();
    if (next.done === true) break;
    head.push(next.value);
    length += next.value.byteLength;
  }
  const start = new Uint8Array(length);
  let at = 0;
  for (const chunk of head) {
    start.set(chunk, at);
    at += chunk.byteLength;
  }
  const kind = sniffContainer(start);
  if (kind !== 'gzip' && kind !== 'tar') {
    throw new BadRequestError({
      message: `The archive is ${kind}, not tar or tar.gz.`,
      fix: 'Download it again.',
    });
  }
  const whole = startingWith(head, chunks);
  const tar = kind === 'tar' ? whole : gunzip('the archive', whole, maxBytes + 64 * 2 ** 20);
  const written: { path: string; size: number }[] = [];
  for await (const { path, size, content } of readTar('the archive', tar, {
    maxFileBytes: maxBytes,
    maxTotalBytes: maxBytes,
  })) {
    if (!force && (await target.exists(path))) {
      throw new ConflictError({
        message: `${path} is there already.`,
        fix: 'Choose an empty folder, or overwrite with force: true.',
      });
    }
    await target.write(path, content);
    written.push({ path, size });
  }
  return written;
}
