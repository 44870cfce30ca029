/** The archive of a stored checkpoint in the layout and the container that was asked for, made while it is read. */
import type { Download, DownloadRequest } from '../api/backend.ts';
import { exportEntries } from '../checkpoints/export-checkpoint.ts';
import { toTar, toTarGz } from '../formats/archive-write.ts';
import { bytesEntry, type FileEntry } from '../formats/file-entry.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import { fromStream, toStream, type Chunk } from '../formats/streams.ts';
import { zipEntry } from '../formats/torch-zip-write.ts';
import type { StoredCheckpoint } from '../storage/stored-files.ts';
import { nameOf, typeOf } from './kept.ts';

const renamed = (entry: FileEntry, path: string): FileEntry => ({
  path,
  size: entry.size,
  chunks: () => entry.chunks(),
});

/** `adapter/`, `tokenizer/` and `metadata.json`; what else there is keeps its place. */
function biosLayout(entries: readonly FileEntry[]): FileEntry[] {
  return entries.map((entry) => {
    const { path } = entry;
    if (path === MANIFEST_FILE) return renamed(entry, 'metadata.json');
    if ((TOKENIZER_FILES as readonly string[]).includes(path)) return renamed(entry, `tokenizer/${path}`);
    return path.startsWith('adapter_') ? renamed(entry, `adapter/${path}`) : entry;
  });
}

/** The adapter's two files, and the marker that the family writes last. */
function tinkerLayout(entries: readonly FileEntry[]): FileEntry[] {
  return [
    ...entries.filter(({ path }) => path.startsWith('adapter_')),
    bytesEntry('checkpoint_complete', new Uint8Array(0)),
  ];
}

async function entriesOf(stored: StoredCheckpoint, layout: DownloadRequest['layout']): Promise<FileEntry[]> {
  const kind = typeOf(stored.record) === 'sampler' || layout === 'tinker' ? 'sampler' : 'full';
  const entries = await exportEntries(stored, { kind });
  switch (layout) {
    case 'bios':
      return biosLayout(entries);
    case 'tinker':
      return tinkerLayout(entries);
    case 'peft':
    case null:
      return entries;
    default:
      return layout satisfies never;
  }
}

/** Bytes from a place on, by reading over what lies before it: what was made before is made again, the same. */
function skip(stream: ReadableStream<Chunk>, from: number): ReadableStream<Chunk> {
  if (from === 0) return stream;
  return toStream(
    (async function* () {
      let left = from;
      for await (const chunk of fromStream(stream)) {
        if (left < chunk.byteLength) yield chunk.subarray(left);
        left = Math.max(0, left - chunk.byteLength);
      }
    })(),
  );
}

function withSignal(stream: ReadableStream<Chunk>, signal: AbortSignal | undefined): ReadableStream<Chunk> {
  if (signal === undefined) return stream;
  return stream.pipeThrough(new TransformStream<Chunk, Chunk>(), { signal });
}

/** The archive as a stream. The same checkpoint gives the same bytes, so a download can go on where it was cut off. */
export async function archiveOf(stored: StoredCheckpoint, request: DownloadRequest): Promise<Download> {
  const entries = await entriesOf(stored, request.layout);
  const format = request.format ?? (request.layout === 'tinker' ? 'tar' : 'tar.gz');
  const name = `${stored.record.runId}-${nameOf(stored.record)}`;
  const zip = format === 'zip' ? zipEntry(`${name}.zip`, entries) : null;
  const body = zip !== null ? toStream(zip.chunks()) : format === 'tar' ? toTar(entries) : toTarGz(entries);
  return {
    body: withSignal(skip(body, request.from), request.signal),
    totalBytes: zip?.size ?? null,
    from: request.from,
    fileName: `${name}.${format}`,
    sha256: null,
  };
}
