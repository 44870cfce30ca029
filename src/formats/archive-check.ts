/** The manifest against the files beside it, and the names that no adapter archive holds. */
import { StudioError } from '../errors.ts';
import { someNames } from './file-set.ts';
import { isTrainerFile } from './hf-trainer.ts';
import { MANIFEST_FILE, type Manifest } from './manifest.ts';
import { TOKENIZER_FILES } from './model-folder.ts';
import { KEY_PREFIX } from './peft-keys.ts';
import { ADAPTER_CONFIG, type PeftRead } from './peft-read.ts';
import { Sha256 } from './sha256.ts';
import { OPTIMIZER_FILE, TRAINER_FILE } from './state-files.ts';
import type { Chunk } from './streams.ts';

export function archiveError(message: string): StudioError {
  return new StudioError({
    code: 'ARCHIVE_INVALID',
    message,
    fix: 'The checkpoint is damaged or was changed after it was written. Get it or export it again.',
  });
}

/** Checks files one by one against the manifest's list, and at the end that none is missing. */
export class ListingCheck {
  readonly #open: Map<string, Manifest['files'][number]>;

  constructor(manifest: Manifest) {
    this.#open = new Map(manifest.files.map((file) => [file.path, file]));
  }

  /** The content, hashed on its way; throws before it for a wrong size, after it for a wrong hash. */
  async *checked(
    path: string,
    size: number,
    content: AsyncIterable<Chunk>,
  ): AsyncGenerator<Chunk, void, undefined> {
    const listed = this.#open.get(path);
    if (listed === undefined) throw archiveError(`${path} is not listed in ${MANIFEST_FILE}.`);
    if (listed.size !== size) {
      throw archiveError(`${path} has ${String(size)} bytes; ${MANIFEST_FILE} says ${String(listed.size)}.`);
    }
    const hash = new Sha256();
    for await (const chunk of content) {
      hash.update(chunk);
      yield chunk;
    }
    if (hash.hex() !== listed.sha256) {
      throw archiveError(`The content of ${path} does not match its hash in ${MANIFEST_FILE}.`);
    }
    this.#open.delete(path);
  }

  finish(): void {
    if (this.#open.size === 0) return;
    throw archiveError(
      `${MANIFEST_FILE} lists files that are missing: ${someNames([...this.#open.keys()])}.`,
    );
  }
}

/** What the manifest says of the adapter must be what the PEFT files say. */
export function checkAgainstAdapter(manifest: Manifest, read: PeftRead): void {
  const { settings, tensors } = read.adapter;
  const names = tensors.map((tensor) => KEY_PREFIX + tensor.name);
  const same = (a: readonly string[], b: readonly string[]): boolean =>
    a.length === b.length && a.every((name, i) => name === b[i]);
  if (
    !same(manifest.paramOrder, names) ||
    !same(Object.keys(manifest.tensors).sort(), [...names].sort()) ||
    manifest.lora.r !== settings.rank ||
    manifest.lora.alpha !== settings.alpha ||
    manifest.lora.rslora !== settings.rslora
  ) {
    throw archiveError(`${MANIFEST_FILE} and adapter_config.json describe different adapters.`);
  }
}

/** Refuses names that file managers add to archives unasked, hidden files, and archives within the archive. */
export function checkArchiveName(path: string): void {
  const hidden = path.split('/').find((part) => part.startsWith('.') || part === '__MACOSX');
  if (hidden !== undefined) {
    throw new StudioError({
      code: 'ARCHIVE_INVALID',
      message: `The archive holds the hidden file ${JSON.stringify(path.slice(0, 120))}.`,
      fix: 'Pack the adapter without hidden files. On a Mac: COPYFILE_DISABLE=1 tar -czf adapter.tar.gz FOLDER.',
    });
  }
  if (/\.(tar|tgz|gz|zip|7z|xz|bz2|zst)$/i.test(path)) {
    throw new StudioError({
      code: 'ARCHIVE_INVALID',
      message: `The archive holds another archive, ${JSON.stringify(path.slice(0, 120))}.`,
      fix: 'Unpack it and choose the one that holds the adapter.',
    });
  }
}

/** Refuses a checkpoint of ours that lost its manifest: its state cannot be checked, and is not left out in silence. */
export function checkNoLostState(names: readonly string[]): void {
  const state = names.find((name) => name === OPTIMIZER_FILE || name === TRAINER_FILE);
  if (state === undefined) return;
  throw new StudioError({
    code: 'ARCHIVE_INVALID',
    message: `There is the state of a training run (${state}), but no ${MANIFEST_FILE}.`,
    fix: 'Get the checkpoint again. To start from the weights alone, take the folder state/ away.',
  });
}

/** Marks and notes of other services: that a checkpoint was written whole, and what it was trained on. */
const SERVICE_FILES = ['checkpoint_complete', 'metadata.json'];

/** A warning that names the files of a foreign adapter that mean nothing here. Trainer's are named by who reads them. */
export function strayFiles(names: readonly string[], weights: string): string[] {
  const known = new Set<string>([ADAPTER_CONFIG, weights, 'README.md', ...TOKENIZER_FILES, ...SERVICE_FILES]);
  const stray = names.filter((name) => !known.has(name) && !isTrainerFile(name));
  return stray.length > 0 ? [`Files that are not used: ${someNames(stray)}.`] : [];
}
