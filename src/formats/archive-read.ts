/**
 * An adapter from wherever it comes: a folder, a .tar or a .tar.gz, with our manifest or without. With a manifest
 * every file is checked against it; without one the PEFT rules alone decide.
 */
import { checkAgainstAdapter, checkNoLostState, ListingCheck, strayFiles } from './archive-check.ts';
import { unpackArchive } from './archive-unpack.ts';
import type { ByteSource } from './bytes.ts';
import { readText, withoutCommonFolder, type FileSet } from './file-set.ts';
import { gunzip, sniffContainer } from './gzip.ts';
import { readPeftFolder, withLayout } from './import-layout.ts';
import { MANIFEST_FILE, MAX_MANIFEST_BYTES, parseManifest, type Manifest } from './manifest.ts';
import type { PeftRead } from './peft-read.ts';
import { sourceChunks } from './streams.ts';

export interface AdapterRead extends PeftRead {
  /** Null when the adapter did not come from Lorikeet. */
  manifest: Manifest | null;
  /** The file that the weights came from: `adapters.safetensors` is that of MLX. */
  weights: string;
  files: readonly { path: string; size: number }[];
  container: 'folder' | 'tar' | 'tar.gz';
  /** The files besides the tensors that were kept: config, card, tokenizer, and what `keep` asked for. */
  contents: FileSet;
}

export interface ArchiveOptions {
  /** All content together, unpacked; default 4 GiB. */
  maxBytes?: number;
  /**
   * Further files to keep in memory; the caller answers for their size. Without a manifest the folder around everything
   * is only known at the end, so the path may begin with it.
   */
  keep?: (path: string) => boolean;
}

/** Reads an adapter folder; with a manifest, every file is hashed and compared first. */
export async function readAdapterFolder(given: FileSet): Promise<AdapterRead> {
  const inner = withoutCommonFolder(given);
  const files = inner.names().includes(MANIFEST_FILE) ? inner : withLayout(inner);
  const sizes: { path: string; size: number }[] = [];
  for (const path of files.names()) sizes.push({ path, size: (await files.open(path)).size });
  let manifest: Manifest | null = null;
  if (files.names().includes(MANIFEST_FILE)) {
    manifest = parseManifest(await readText(files, MANIFEST_FILE, MAX_MANIFEST_BYTES, 'ARCHIVE_INVALID'));
    const listing = new ListingCheck(manifest);
    for (const { path } of sizes) {
      if (path === MANIFEST_FILE) continue;
      const source = await files.open(path);
      const checked = listing.checked(path, source.size, sourceChunks(source));
      for (let next = await checked.next(); next.done !== true;) next = await checked.next();
    }
    listing.finish();
  } else checkNoLostState(files.names());
  const read = await readPeftFolder(files);
  if (manifest !== null) checkAgainstAdapter(manifest, read);
  const warnings = [...read.warnings, ...(manifest === null ? strayFiles(files.names(), read.weights) : [])];
  return { ...read, warnings, manifest, files: sizes, container: 'folder', contents: files };
}

/** Reads a .tar or .tar.gz; which of the two it is, the content says, not the name. */
export async function readAdapterArchive(
  source: ByteSource,
  options: ArchiveOptions = {},
): Promise<AdapterRead> {
  const maxBytes = options.maxBytes ?? 4 * 2 ** 30;
  const kind = sniffContainer(await source.read(0, Math.min(512, source.size)));
  const container = kind === 'tar' ? 'tar' : 'tar.gz';
  const chunks =
    kind === 'tar'
      ? sourceChunks(source)
      : // Headers and padding come on top of the content.
        gunzip(source.name, sourceChunks(source), maxBytes + 64 * 2 ** 20);
  const { read, weights, manifest, files, contents } = await unpackArchive(source.name, chunks, {
    maxBytes,
    keep: options.keep ?? (() => false),
  });
  return { ...read, manifest, weights, files, container, contents };
}

/** Reads an adapter from a folder or an archive. */
export function readAdapter(input: FileSet | ByteSource, options: ArchiveOptions = {}): Promise<AdapterRead> {
  return 'names' in input ? readAdapterFolder(input) : readAdapterArchive(input, options);
}
