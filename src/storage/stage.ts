/** The first step of a save: private copies of everything, cut into chunks and hashed, so that training may go on. */
import { StudioError } from '../errors.ts';
import { compareBytes } from '../formats/file-entry.ts';
import type { Chunk, Chunks } from '../formats/streams.ts';
import type { RunningHash, StoredChunk } from './backend.ts';
import type { NewPart } from './new-checkpoint.ts';
import type { ChunkRef, PartRecord } from './records.ts';

export interface StageOptions {
  chunkBytes: number;
  newHash: () => RunningHash;
  signal?: AbortSignal | undefined;
}

export interface Staged {
  /** By path. */
  parts: PartRecord[];
  /** Each once, by its hash. */
  chunks: Map<string, StoredChunk>;
}

/** The SHA-256 of bytes in memory as hex, by the host's own code. */
export async function digestHex(bytes: Chunk): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function throwIfCancelled(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted !== true) return;
  throw new StudioError({ code: 'CANCELLED', message: `${what} was cancelled.`, fix: 'Start it again.' });
}

/** Copies a stream into private buffers of at most `chunkBytes`. */
async function* privateCopies(
  path: string,
  size: number,
  content: Chunks,
  options: StageOptions,
): AsyncGenerator<Chunk, void, undefined> {
  const wrongSize = (): StudioError =>
    new StudioError({
      code: 'CHECKPOINT_INVALID',
      message: `${path} was announced with ${String(size)} bytes and has another length.`,
      fix: 'Save again; if it happens again, please report it.',
    });
  let buffer = new Uint8Array(Math.min(options.chunkBytes, size));
  let filled = 0;
  let done = 0;
  for await (const piece of content) {
    throwIfCancelled(options.signal, 'Saving');
    if (done + filled + piece.byteLength > size) throw wrongSize();
    for (let at = 0; at < piece.byteLength;) {
      const part = piece.subarray(at, at + buffer.byteLength - filled);
      buffer.set(part, filled);
      filled += part.byteLength;
      at += part.byteLength;
      if (filled < buffer.byteLength) continue;
      yield buffer;
      done += filled;
      filled = 0;
      buffer = new Uint8Array(Math.min(options.chunkBytes, size - done));
    }
  }
  if (done !== size) throw wrongSize();
}

interface CopiedPart {
  part: NewPart;
  encoding: string;
  copies: Chunk[];
  /** Of the content, where that is not what is stored. */
  contentSha256: string | null;
}

/** Everything that is asked of the caller's part, which may change from then on. */
async function copyPart(part: NewPart, options: StageOptions): Promise<CopiedPart> {
  const { path, stored } = part;
  const copies: Chunk[] = [];
  const source = stored ?? part;
  for await (const copy of privateCopies(path, source.size, source.chunks(), options)) copies.push(copy);
  if (stored === undefined) return { part, encoding: 'raw', copies, contentSha256: null };
  const hash = options.newHash();
  for await (const copy of privateCopies(path, part.size, part.chunks(), options)) hash.update(copy);
  return { part, encoding: stored.encoding, copies, contentSha256: hash.hex() };
}

async function hashPart(
  { part, encoding, copies, contentSha256 }: CopiedPart,
  chunks: Map<string, StoredChunk>,
  options: StageOptions,
): Promise<PartRecord> {
  const refs: ChunkRef[] = [];
  // A part of one chunk has the chunk's own hash: no second pass over it.
  const hash = contentSha256 === null && copies.length !== 1 ? options.newHash() : null;
  for (const bytes of copies) {
    throwIfCancelled(options.signal, 'Saving');
    const sha256 = await digestHex(bytes);
    hash?.update(bytes);
    refs.push({ sha256, size: bytes.byteLength });
    if (!chunks.has(sha256)) chunks.set(sha256, { sha256, bytes });
  }
  const sha256 = contentSha256 ?? hash?.hex() ?? refs[0]?.sha256 ?? '';
  return { path: part.path, size: part.size, sha256, encoding, chunks: refs };
}

/** Copies all parts, then cuts and hashes the copies; `onCopied` is told in between. */
export async function stageParts(
  parts: readonly NewPart[],
  options: StageOptions & { onCopied?: (() => void) | undefined },
): Promise<Staged> {
  const copied: CopiedPart[] = [];
  for (const part of parts) copied.push(await copyPart(part, options));
  options.onCopied?.();
  copied.sort((a, b) => compareBytes(a.part.path, b.part.path));
  const chunks = new Map<string, StoredChunk>();
  const records: PartRecord[] = [];
  for (const part of copied) records.push(await hashPart(part, chunks, options));
  return { parts: records, chunks };
}
