/** One pass over the tar of an adapter: small files into memory, tensors one by one, everything else hashed only. */
import { StudioError } from '../errors.ts';
import {
  archiveError,
  checkAgainstAdapter,
  checkArchiveName,
  checkNoLostState,
  ListingCheck,
  strayFiles,
} from './archive-check.ts';
import { bytesSource } from './bytes.ts';
import { commonFolder, memoryFileSet, type FileSet } from './file-set.ts';
import { layoutNames, openWeightsFile, readAdapterParts, weightsFile } from './import-layout.ts';
import { MANIFEST_FILE, MAX_MANIFEST_BYTES, parseManifest, type Manifest } from './manifest.ts';
import { MLX_WEIGHTS } from './mlx-adapter.ts';
import { TOKENIZER_FILES } from './model-folder.ts';
import { invalidAdapter } from './peft-config.ts';
import {
  ADAPTER_BIN,
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  checkAdapterParts,
  type PeftRead,
} from './peft-read.ts';
import { PieceReader } from './piece-reader.ts';
import { readSafetensorsStream } from './safetensors-read.ts';
import { decodeUtf8 } from './strict-json.ts';
import type { Chunk } from './streams.ts';
import { readTar, type TarFile } from './tar-read.ts';
import type { TensorSource } from './tensors.ts';

export interface Unpacked {
  read: PeftRead;
  /** The name of the file that the weights came from. */
  weights: string;
  manifest: Manifest | null;
  /** Without the folder around them, if there is one. */
  files: readonly { path: string; size: number }[];
  contents: FileSet;
}

export interface UnpackOptions {
  maxBytes: number;
  keep: (path: string) => boolean;
}

/** Files that are kept in memory, and how large they may be. */
const KEPT: ReadonlyMap<string, number> = new Map([
  [ADAPTER_CONFIG, 2 ** 20],
  ['README.md', 2 ** 20],
  ['metadata.json', 2 ** 20],
  ...TOKENIZER_FILES.map((name) => [name, 64 * 2 ** 20] as const),
]);

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

async function collect(
  path: string,
  size: number,
  content: AsyncIterable<Chunk>,
  limit: number,
): Promise<Chunk> {
  if (size > limit) {
    throw new StudioError({
      code: 'INPUT_TOO_LARGE',
      message: `${path} has ${String(size)} bytes; at most ${String(limit)} are read.`,
      fix: 'Check that this is the right file.',
    });
  }
  const reader = new PieceReader(content, () => archiveError(`${path} ends too early.`));
  const bytes = await reader.take(size, path);
  await reader.finish();
  return bytes;
}

/** The state of one pass. */
class Unpacker {
  readonly #options: UnpackOptions;
  readonly #sizes: { path: string; size: number }[] = [];
  readonly #kept = new Map<string, Chunk>();
  /** The weights that were found, by the name of their file. */
  readonly #weights = new Map<string, () => Promise<TensorSource>>();
  #manifest: Manifest | null = null;
  #listing: ListingCheck | null = null;
  /** The folder around everything, with its slash. With a manifest its place decides; else the whole list does. */
  #root = '';

  constructor(options: UnpackOptions) {
    this.#options = options;
  }

  async take(file: TarFile): Promise<void> {
    checkArchiveName(file.path);
    const first = this.#sizes.length === 0;
    this.#sizes.push({ path: file.path, size: file.size });
    if (baseName(file.path) === MANIFEST_FILE) {
      if (!first) throw archiveError(`${MANIFEST_FILE} is not the first file of the archive.`);
      return this.#takeManifest(file);
    }
    const path = this.#inside(file.path);
    const content = this.#listing?.checked(path, file.size, file.content) ?? file.content;
    const name = baseName(path);
    const limit = this.#options.keep(path) ? this.#options.maxBytes : KEPT.get(name);
    if (this.#weights.has(name)) throw invalidAdapter(`The archive holds more than one ${name}.`);
    if (name === ADAPTER_WEIGHTS || name === MLX_WEIGHTS) {
      const options = { requireAligned: name !== MLX_WEIGHTS };
      const tensors = await readSafetensorsStream(name, file.size, content, options);
      this.#weights.set(name, () => Promise.resolve(tensors));
    } else if (name === ADAPTER_BIN) {
      const bytes = await collect(path, file.size, content, this.#options.maxBytes);
      this.#weights.set(name, () => openWeightsFile(name, bytesSource(name, bytes)));
    } else if (limit !== undefined) {
      this.#kept.set(file.path, await collect(path, file.size, content, limit));
    } else {
      for await (const chunk of content) void chunk;
    }
  }

  async finish(label: string): Promise<Unpacked> {
    this.#listing?.finish();
    if (this.#manifest === null) this.#root = commonFolder(this.#sizes.map((file) => file.path));
    const inside = this.#sizes.map(({ path }) => this.#inside(path));
    const rename = this.#manifest === null ? layoutNames(inside) : (name: string): string => name;
    const files = this.#sizes.map(({ path, size }) => ({ path: rename(this.#inside(path)), size }));
    const names = files.map((file) => file.path);
    if (this.#manifest === null) checkNoLostState(names);
    const weights = weightsFile(names);
    checkAdapterParts(label, names, weights);
    const contents = new Map(Array.from(this.#kept, ([path, bytes]) => [rename(this.#inside(path)), bytes]));
    const config = contents.get(ADAPTER_CONFIG);
    const tensors = await this.#weights.get(weights ?? '')?.();
    // Both are there: checkAdapterParts has seen their names.
    if (config === undefined || tensors === undefined || weights === null) {
      throw invalidAdapter(`${label} is incomplete.`);
    }
    const text = decodeUtf8(config, ADAPTER_CONFIG, 'ADAPTER_INVALID');
    const read = await readAdapterParts(weights, text, tensors);
    if (this.#manifest !== null) checkAgainstAdapter(this.#manifest, read);
    const warnings = [...read.warnings, ...(this.#manifest === null ? strayFiles(names, weights) : [])];
    return {
      read: { ...read, warnings },
      weights,
      manifest: this.#manifest,
      files,
      contents: memoryFileSet(label, contents),
    };
  }

  async #takeManifest(file: TarFile): Promise<void> {
    const parts = file.path.split('/');
    if (parts.length > 2) throw archiveError(`${MANIFEST_FILE} lies too deep in the archive.`);
    this.#root = parts.length === 2 ? `${parts[0] ?? ''}/` : '';
    const bytes = await collect(MANIFEST_FILE, file.size, file.content, MAX_MANIFEST_BYTES);
    this.#manifest = parseManifest(decodeUtf8(bytes, MANIFEST_FILE, 'ARCHIVE_INVALID'));
    this.#listing = new ListingCheck(this.#manifest);
  }

  /** The path below the root folder. */
  #inside(path: string): string {
    if (path.startsWith(this.#root)) return path.slice(this.#root.length);
    throw archiveError(`${path} lies outside the folder ${this.#root} that holds ${MANIFEST_FILE}.`);
  }
}

/** Reads an adapter out of the bytes of a tar archive. */
export async function unpackArchive(
  label: string,
  chunks: AsyncIterable<Chunk>,
  options: UnpackOptions,
): Promise<Unpacked> {
  const unpacker = new Unpacker(options);
  const limits = { maxFileBytes: options.maxBytes, maxTotalBytes: options.maxBytes };
  for await (const file of readTar(label, chunks, limits)) await unpacker.take(file);
  return unpacker.finish(label);
}
