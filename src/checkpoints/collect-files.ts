/** Everything that an import holds, as files in memory under the names that they have here. */
import { StudioError } from '../errors.ts';
import type { ByteSource } from '../formats/bytes.ts';
import {
  commonFolder,
  memoryFileSet,
  readWhole,
  withoutCommonFolder,
  type FileSet,
} from '../formats/file-set.ts';
import { gunzip, sniffContainer } from '../formats/gzip.ts';
import { isTrainerFile } from '../formats/hf-trainer.ts';
import { weightsFile, withLayout } from '../formats/import-layout.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';
import { TOKENIZER_FILES } from '../formats/model-folder.ts';
import { ADAPTER_CONFIG } from '../formats/peft-read.ts';
import { sourceChunks, type Chunk } from '../formats/streams.ts';
import { readTar } from '../formats/tar-read.ts';

/** All files of an import together. */
const MAX_BYTES = 4 * 2 ** 30;

export interface CollectOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new StudioError({
    code: 'CANCELLED',
    message: 'The import was cancelled; nothing of it was added.',
    fix: 'Start it again.',
  });
}

/** What an adapter of another program is kept with; anything else of it means nothing here. */
function isWanted(name: string, names: readonly string[]): boolean {
  const known = [ADAPTER_CONFIG, 'README.md', 'metadata.json', 'checkpoint_complete', ...TOKENIZER_FILES];
  // Trainer's settings are code and its random numbers of no use.
  const trainer = isTrainerFile(name) && !/^(rng_state|training_args|scaler)/.test(name);
  return known.includes(name) || name === weightsFile(names) || trainer;
}

/** The files without the folder around them, and without those that mean nothing where no manifest lists them. */
function arranged(files: FileSet): FileSet {
  const inner = withoutCommonFolder(files);
  if (inner.names().includes(MANIFEST_FILE)) return inner;
  const laid = withLayout(inner);
  const names = laid.names().filter((name) => isWanted(name, laid.names()));
  return { label: laid.label, names: () => names, open: (name) => laid.open(name) };
}

async function* counted(
  source: ByteSource,
  { signal, onProgress }: CollectOptions,
): AsyncGenerator<Chunk, void, undefined> {
  let done = 0;
  for await (const chunk of sourceChunks(source)) {
    throwIfAborted(signal);
    yield chunk;
    done += chunk.byteLength;
    onProgress?.(done, source.size);
  }
}

async function fromArchive(source: ByteSource, options: CollectOptions): Promise<FileSet> {
  const kind = sniffContainer(await source.read(0, Math.min(512, source.size)));
  const raw = counted(source, options);
  const chunks = kind === 'tar' ? raw : gunzip(source.name, raw, MAX_BYTES + 64 * 2 ** 20);
  const files = new Map<string, Chunk>();
  for await (const file of readTar(source.name, chunks, {
    maxFileBytes: MAX_BYTES,
    maxTotalBytes: MAX_BYTES,
  })) {
    const bytes = new Uint8Array(file.size);
    let at = 0;
    for await (const chunk of file.content) {
      bytes.set(chunk, at);
      at += chunk.byteLength;
    }
    files.set(file.path, bytes);
  }
  return memoryFileSet(source.name, files);
}

async function fromFolder(folder: FileSet, { signal, onProgress }: CollectOptions): Promise<FileSet> {
  const files = new Map<string, Chunk>();
  const arrangedFiles = arranged(folder);
  const names = arrangedFiles.names();
  for (const [i, name] of names.entries()) {
    throwIfAborted(signal);
    files.set(name, await readWhole(arrangedFiles, name, MAX_BYTES));
    onProgress?.(i + 1, names.length);
  }
  return memoryFileSet(folder.label, files);
}

/**
 * Reads an archive or a folder whole: it takes the memory of its content, which `readAdapter` should have found sound
 * before (that streams). Throws TAR_INVALID, GZIP_INVALID, INPUT_TOO_LARGE or CANCELLED.
 */
export async function collectFiles(input: FileSet | ByteSource, options: CollectOptions): Promise<FileSet> {
  if ('names' in input) return fromFolder(input, options);
  const all = await fromArchive(input, options);
  return arranged(all);
}

/** A name for what is imported: the archive's or the folder's, without endings. */
export function importName(input: FileSet | ByteSource): string {
  const label = 'names' in input ? commonFolder(input.names()) || input.label : input.name;
  const plain = label.replace(/\/+$/, '').replace(/^.*\//, '');
  return plain.replace(/(\.tar)?\.(gz|tgz|tar)$/i, '') || 'imported';
}
