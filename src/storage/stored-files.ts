/** A stored checkpoint as files, for whoever loads, exports or compares it. Every byte is hashed before it is handed out. */
import { StudioError } from '../errors.ts';
import type { ByteSource } from '../formats/bytes.ts';
import { bytesSource } from '../formats/bytes.ts';
import { inPieces, type FileEntry } from '../formats/file-entry.ts';
import type { FileSet } from '../formats/file-set.ts';
import type { Chunk, Chunks } from '../formats/streams.ts';
import type { StoreBackend } from './backend.ts';
import type { CheckpointRecord, ChunkRef, PartRecord } from './records.ts';
import { damagedError, readGoodChunk } from './verify.ts';

/** Turns the stored form of a part into its content; the result's hash is checked by whoever reads it whole. */
export type PartDecoder = (part: PartRecord, stored: Chunks, checkpoint: CheckpointRecord) => Chunks;

export interface StoredCheckpoint {
  record: CheckpointRecord;
  /** checkpoint.json first, then the rest by path: what an archive holds. */
  entries(): FileEntry[];
  /** The same as a folder, read at any place. */
  files(): FileSet;
  /** The bytes as they are stored, for what decodes them. */
  storedEntry(path: string): FileEntry;
}

async function readChunk(backend: StoreBackend, record: CheckpointRecord, part: PartRecord, ref: ChunkRef) {
  const found = await readGoodChunk(backend, ref);
  if ('bytes' in found) return found.bytes;
  throw damagedError(record, `a piece of ${part.path} ${found.problem}`);
}

async function* storedChunks(
  backend: StoreBackend,
  record: CheckpointRecord,
  part: PartRecord,
): AsyncGenerator<Chunk, void, undefined> {
  for (const ref of part.chunks) yield* inPieces(await readChunk(backend, record, part, ref));
}

/** Random access to a part that is stored as it is; keeps the piece that was read last. */
function partSource(backend: StoreBackend, record: CheckpointRecord, part: PartRecord): ByteSource {
  const starts: number[] = [];
  part.chunks.reduce((start, { size }) => {
    starts.push(start);
    return start + size;
  }, 0);
  let last: { index: number; bytes: Promise<Chunk> } | null = null;
  const chunkAt = (index: number, ref: ChunkRef): Promise<Chunk> => {
    if (last?.index !== index) last = { index, bytes: readChunk(backend, record, part, ref) };
    return last.bytes;
  };
  const read = async (from: number, to: number): Promise<Chunk> => {
    const end = Math.min(to, part.size);
    const wanted = new Uint8Array(Math.max(0, end - from));
    for (const [i, ref] of part.chunks.entries()) {
      const start = starts[i] ?? 0;
      if (start + ref.size <= from || start >= end) continue;
      const bytes = await chunkAt(i, ref);
      const piece = bytes.subarray(Math.max(0, from - start), end - start);
      wanted.set(piece, Math.max(0, start - from));
    }
    return wanted;
  };
  return { name: part.path, size: part.size, read };
}

function noDecoder(record: CheckpointRecord, part: PartRecord): StudioError {
  return new StudioError({
    code: 'STORE_NEWER',
    message: `${part.path} of ${record.name} is stored as ${part.encoding}, which this version cannot decode.`,
    fix: 'Open the store with a newer version of Lorikeet.',
  });
}

async function collected(size: number, chunks: Chunks): Promise<Chunk> {
  const all = new Uint8Array(size);
  let at = 0;
  for await (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}

/** The files of a checkpoint; `decoders` are by the name of the encoding. */
export function storedCheckpoint(
  backend: StoreBackend,
  record: CheckpointRecord,
  decoders: ReadonlyMap<string, PartDecoder>,
): StoredCheckpoint {
  const partOf = (path: string): PartRecord => {
    const part = record.parts.find((other) => other.path === path);
    if (part !== undefined) return part;
    throw new StudioError({
      code: 'FILE_NOT_FOUND',
      message: `The checkpoint ${record.name} has no file ${path}.`,
      fix: 'Choose one of its files.',
    });
  };
  const content = (part: PartRecord): Chunks => {
    const stored = storedChunks(backend, record, part);
    if (part.encoding === 'raw') return stored;
    const decode = decoders.get(part.encoding);
    if (decode === undefined) throw noDecoder(record, part);
    return decode(part, stored, record);
  };
  return {
    record,
    entries: () =>
      record.parts.map((part) => ({ path: part.path, size: part.size, chunks: () => content(part) })),
    files: () => ({
      label: record.name,
      names: () => record.parts.map(({ path }) => path),
      open: async (path) => {
        const part = partOf(path);
        if (part.encoding === 'raw') return partSource(backend, record, part);
        return bytesSource(path, await collected(part.size, content(part)));
      },
    }),
    storedEntry: (path) => {
      const part = partOf(path);
      const size = part.chunks.reduce((sum, chunk) => sum + chunk.size, 0);
      return { path, size, chunks: () => storedChunks(backend, record, part) };
    },
  };
}
