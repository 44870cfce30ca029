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

async function stagePart(
  part: NewPart,
  chunks: Map<string, StoredChunk>,
  options: StageOptions,
): Promise<PartRecord> {
  const stored = part.stored ?? { size: part.size, encoding: 'raw', chunks: () => part.chunks() };
  const refs: ChunkRef[] = [];
  // One chunk of a raw part has the part's own hash: no second pass over it.
  const hash = part.stored === undefined && part.size > options.chunkBytes ? options.newHash() : null;
  for await (const bytes of privateCopies(part.path, stored.size, stored.chunks(), options)) {
    const sha256 = await digestHex(bytes);
    hash?.update(bytes);
    refs.push({ sha256, size: bytes.byteLength });
    if (!chunks.has(sha256)) chunks.set(sha256, { sha256, bytes });
  }
  let sha256 = refs[0]?.sha256;
  if (hash !== null) sha256 = hash.hex();
  else if (part.stored !== undefined || sha256 === undefined) sha256 = await hashOf(part, options);
  return { path: part.path, size: part.size, sha256, encoding: stored.encoding, chunks: refs };
}

async function hashOf(part: NewPart, options: StageOptions): Promise<string> {
  const hash = options.newHash();
  for await (const copy of privateCopies(part.path, part.size, part.chunks(), options)) hash.update(copy);
  return hash.hex();
}

/** Copies, cuts and hashes all parts. */
export async function stageParts(parts: readonly NewPart[], options: StageOptions): Promise<Staged> {
  const chunks = new Map<string, StoredChunk>();
  const records: PartRecord[] = [];
  for (const part of [...parts].sort((a, b) => compareBytes(a.path, b.path))) {
    records.push(await stagePart(part, chunks, options));
  }
  return { parts: records, chunks };
}
