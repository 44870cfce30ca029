/** What a checkpoint is saved from, and the rules that it must keep before anything is written. */
import { StudioError } from '../errors.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import { MANIFEST_FILE, type Manifest } from '../formats/manifest.ts';
import type { CheckpointAbout, CheckpointRecord, DeltaInfo } from './records.ts';

/** One file of a checkpoint; `stored` is the form in which the store keeps it, where that is not the file itself. */
export interface NewPart extends FileEntry {
  readonly stored?: Pick<FileEntry, 'size' | 'chunks'> & { readonly encoding: string };
}

export interface NewCheckpoint {
  name: string;
  step: number;
  kind: CheckpointRecord['kind'];
  /** Why it is saved: `steps`, `best`, `manual`, ... */
  trigger: string;
  /** Every file but checkpoint.json. Copied first of all, and free to change after that. */
  parts: readonly NewPart[];
  /**
   * What checkpoint.json says besides; the store adds ids, name, times and hashes. A text is one that came with an
   * import: it is checked against the parts and kept as it is. Null where there is none.
   */
  manifest: (CheckpointAbout & Pick<Manifest, 'paramOrder' | 'tensors'>) | string | null;
  /** The checkpoint that this one went on from; default none. */
  parentId?: string | null;
  metrics?: Readonly<Record<string, number>>;
  metadata?: Readonly<Record<string, string>>;
  tags?: readonly string[];
  pinned?: boolean;
  note?: string;
  ttlSeconds?: number | null;
  delta?: DeltaInfo | null;
  /** Take the place of a checkpoint of the same name, which goes to the bin. */
  overwrite?: boolean;
  /** Where it stood in its run, for one that was moved to another store and comes back; default the end, now. */
  was?: Pick<CheckpointRecord, 'sequence' | 'createdAt'>;
}

/** What can be changed later. */
export interface CheckpointChanges {
  name?: string;
  tags?: readonly string[];
  pinned?: boolean;
  note?: string;
  metadata?: Readonly<Record<string, string>>;
  /** From now on; null takes the limit away. */
  ttlSeconds?: number | null;
}

const NAME = /^[A-Za-z0-9._-]{1,255}$/;
const MAX_TAGS = 100;
const MAX_TAG_CHARACTERS = 100;
const MAX_NOTE_CHARACTERS = 10_000;
const MAX_METADATA_CHARACTERS = 100_000;

function invalid(message: string, fix: string): StudioError {
  return new StudioError({ code: 'CHECKPOINT_INVALID', message, fix });
}

/** Refuses a name that could not be part of a path; offers one that could. */
export function checkName(name: string): void {
  if (NAME.test(name)) return;
  const shown = name.length > 60 ? `${name.slice(0, 60)}...` : name;
  const legal = name
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 255);
  throw new StudioError({
    code: 'CHECKPOINT_NAME',
    message: `"${shown}" cannot be a checkpoint's name (1 to 255 of the characters A-Z a-z 0-9 . _ -).`,
    fix: legal === '' ? 'Choose a name of these characters.' : `Use ${legal}, for example.`,
  });
}

/** Checks what a person may add to a checkpoint, at saving or later. */
export function checkChanges({ name, tags, note, metadata, ttlSeconds }: CheckpointChanges): void {
  if (name !== undefined) checkName(name);
  const wrongTag = tags?.find((tag) => tag.trim() === '' || tag.length > MAX_TAG_CHARACTERS);
  if (wrongTag !== undefined || (tags?.length ?? 0) > MAX_TAGS) {
    throw invalid(
      `${wrongTag === undefined ? `${String(tags?.length)} tags are too many` : `"${wrongTag.slice(0, 60)}" cannot be a tag`}.`,
      `Use at most ${String(MAX_TAGS)} tags of 1 to ${String(MAX_TAG_CHARACTERS)} characters.`,
    );
  }
  if ((note?.length ?? 0) > MAX_NOTE_CHARACTERS) {
    throw invalid(`The note has ${String(note?.length)} characters.`, 'Shorten it to 10000.');
  }
  const metadataSize = JSON.stringify(metadata ?? {}).length;
  if (metadataSize > MAX_METADATA_CHARACTERS) {
    throw invalid(`The metadata has ${String(metadataSize)} characters.`, 'Shorten it to 100000.');
  }
  if (typeof ttlSeconds === 'number' && !(ttlSeconds > 0 && ttlSeconds <= 1e10)) {
    throw invalid(`A checkpoint cannot expire after ${String(ttlSeconds)} seconds.`, 'Use a number above 0.');
  }
}

/** Tags without those that are there twice. */
export function uniqueTags(tags: readonly string[]): string[] {
  return [...new Set(tags)];
}

/** Refuses what could not be read back: names, numbers, paths. */
export function checkNewCheckpoint(input: NewCheckpoint): void {
  checkName(input.name);
  checkChanges(input);
  if (!Number.isSafeInteger(input.step) || input.step < 0) {
    throw invalid(`${String(input.step)} is not a step.`, 'Use a whole number from 0 on.');
  }
  const { was } = input;
  if (was !== undefined && !(Number.isSafeInteger(was.sequence) && was.sequence > 0)) {
    throw invalid(`${String(was.sequence)} is no place in a run.`, 'Use a whole number above 0.');
  }
  if (was !== undefined && !Number.isFinite(Date.parse(was.createdAt))) {
    throw invalid(`"${was.createdAt.slice(0, 60)}" is not a time.`, 'Use an ISO 8601 time.');
  }
  const notFinite = Object.entries(input.metrics ?? {}).find(([, value]) => !Number.isFinite(value));
  if (notFinite !== undefined) {
    throw invalid(
      `The metric ${notFinite[0]} of ${input.name} is ${String(notFinite[1])}.`,
      'Leave metrics out that have no finite value.',
    );
  }
  const paths = input.parts.map(({ path }) => path);
  const wrong = paths.find(
    (path, i) =>
      paths.indexOf(path) !== i ||
      path === MANIFEST_FILE ||
      path.length > 255 ||
      path.split('/').some((segment) => segment === '' || segment === '.' || segment === '..'),
  );
  if (wrong !== undefined || paths.length === 0) {
    throw invalid(
      `${input.name} cannot hold ${wrong === undefined ? 'no files at all' : `the file ${wrong}`}.`,
      `Hand in each file once, by its path, without ${MANIFEST_FILE}.`,
    );
  }
}
