/**
 * The files of an import, checked once and then read again wherever they lie: nothing is held but the adapter. A folder
 * or a Blob is read at any place; an archive is run through from its start, and goes on from where it was.
 */
import { StudioError } from '../errors.ts';
import { readAdapterArchive, readAdapterFolder, type AdapterRead } from '../formats/archive-read.ts';
import type { ByteSource } from '../formats/bytes.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { commonFolder, memoryFileSet, withoutCommonFolder, type FileSet } from '../formats/file-set.ts';
import { gunzip, sniffContainer } from '../formats/gzip.ts';
import { withLayout } from '../formats/import-layout.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';
import { sourceChunks, type Chunk } from '../formats/streams.ts';
import { readTar, type TarFile } from '../formats/tar-read.ts';

const MAX_BYTES = 4 * 2 ** 30;
/** Headers and padding come on top of the content. */
const MAX_TAR_BYTES = MAX_BYTES + 64 * 2 ** 20;

export interface ReadOptions {
  signal?: AbortSignal | undefined;
  /** Told of bytes read, of all that will be read: everything is read more than once. */
  onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

export interface ImportFiles {
  label: string;
  /** What the first pass found: everything sound. */
  read: AdapterRead;
  /** Every file, under the name that it has here; in the order in which reading is cheapest. */
  entries: readonly FileEntry[];
  /** Some of them as a folder; those of an archive are held in memory. */
  open(wanted: (path: string) => boolean): Promise<FileSet>;
  /** Nothing is read after that. */
  close(): Promise<void>;
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new StudioError({
    code: 'CANCELLED',
    message: 'The import was cancelled; nothing of it was added.',
    fix: 'Start it again.',
  });
}

/** Tells how far the passes are and ends them when asked to. */
function progress(totalBytes: number, { signal, onProgress }: ReadOptions): (bytes: number) => void {
  let done = 0;
  return (bytes) => {
    throwIfAborted(signal);
    done = Math.min(totalBytes, done + bytes);
    onProgress?.(done, totalBytes);
  };
}

function watched(source: ByteSource, onRead: (bytes: number) => void): ByteSource {
  return {
    name: source.name,
    size: source.size,
    read: async (start, end) => {
      onRead(0);
      const bytes = await source.read(start, end);
      onRead(bytes.byteLength);
      return bytes;
    },
  };
}

async function fromFolder(folder: FileSet, options: ReadOptions): Promise<ImportFiles> {
  const inner = withoutCommonFolder(folder);
  const laid = inner.names().includes(MANIFEST_FILE) ? inner : withLayout(inner);
  let total = 0;
  for (const name of laid.names()) total += (await laid.open(name)).size;
  const onRead = progress(2 * total, options);
  const files: FileSet = {
    label: folder.label,
    names: () => laid.names(),
    open: async (name) => watched(await laid.open(name), onRead),
  };
  const read = await readAdapterFolder(files);
  async function* content(path: string): AsyncGenerator<Chunk, void, undefined> {
    yield* sourceChunks(await files.open(path));
  }
  return {
    label: folder.label,
    read,
    entries: read.files.map(({ path, size }) => ({ path, size, chunks: () => content(path) })),
    open: (wanted) => {
      const names = files.names().filter(wanted);
      return Promise.resolve({ label: files.label, names: () => names, open: (name) => files.open(name) });
    },
    close: () => Promise.resolve(),
  };
}

/** The files of a tar by their number; asked for in order, it is run through once. */
function tarReader(label: string, tar: () => Promise<AsyncIterable<Chunk>>) {
  let pass: AsyncGenerator<TarFile, void, undefined> | null = null;
  let next = 0;
  const close = async (): Promise<void> => {
    await pass?.return();
    pass = null;
    next = 0;
  };
  async function* content(index: number, size: number): AsyncGenerator<Chunk, void, undefined> {
    if (pass === null || index < next) {
      await close();
      pass = readTar(label, await tar(), { maxFileBytes: MAX_BYTES, maxTotalBytes: MAX_BYTES });
    }
    for (;;) {
      const file: IteratorResult<TarFile, void> = await pass.next();
      if (file.done !== true && next++ < index) continue;
      if (file.done !== true && file.value.size === size) return yield* file.value.content;
      throw new StudioError({
        code: 'FILE_UNREADABLE',
        message: `${label} changed while it was read.`,
        fix: 'Import it again once it is complete.',
      });
    }
  }
  return { content, close };
}

async function held(entry: FileEntry): Promise<Chunk> {
  const bytes = new Uint8Array(entry.size);
  let at = 0;
  for await (const chunk of entry.chunks()) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

async function fromArchive(given: ByteSource, options: ReadOptions): Promise<ImportFiles> {
  const source = watched(given, progress(3 * given.size, options));
  const read = await readAdapterArchive(source);
  const tar = async (): Promise<AsyncIterable<Chunk>> => {
    const kind = sniffContainer(await given.read(0, Math.min(512, given.size)));
    return kind === 'tar' ? sourceChunks(source) : gunzip(given.name, sourceChunks(source), MAX_TAR_BYTES);
  };
  const { content, close } = tarReader(given.name, tar);
  const entries = read.files.map(({ path, size }, index): FileEntry => ({
    path,
    size,
    chunks: () => content(index, size),
  }));
  return {
    label: given.name,
    read,
    entries,
    open: async (wanted) => {
      const files = new Map<string, Chunk>();
      for (const entry of entries) if (wanted(entry.path)) files.set(entry.path, await held(entry));
      return memoryFileSet(given.name, files);
    },
    close,
  };
}

/**
 * Checks an archive or a folder in one pass that holds the adapter alone, and opens it to be read again. Throws what
 * reading an adapter throws, FILE_UNREADABLE where it changes meanwhile, and CANCELLED.
 */
export function openImport(input: FileSet | ByteSource, options: ReadOptions = {}): Promise<ImportFiles> {
  return 'names' in input ? fromFolder(input, options) : fromArchive(input, options);
}

/** A name for what is imported: the archive's or the folder's, without endings. */
export function importName(input: FileSet | ByteSource): string {
  const label = 'names' in input ? commonFolder(input.names()) || input.label : input.name;
  const plain = label.replace(/\/+$/, '').replace(/^.*\//, '');
  return plain.replace(/(\.tar)?\.(gz|tgz|tar)$/i, '') || 'imported';
}
