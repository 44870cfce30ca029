/** A folder as names and contents, wherever it lives: dropped files, a disk, a Hub repository, an archive. */
import { StudioError, type ErrorCode } from '../errors.ts';
import { blobSource, bytesSource, type ByteSource } from './bytes.ts';
import { decodeUtf8 } from './strict-json.ts';

export interface FileSet {
  /** What the person calls it (a path, a Hub id), for messages. */
  readonly label: string;
  /** Paths relative to the folder, with `/` between folders. */
  names(): readonly string[];
  /** Opens one of `names()`; this is where a remote set starts to download. */
  open(name: string): Promise<ByteSource>;
}

function notFound(label: string, name: string): StudioError {
  return new StudioError({
    code: 'FILE_NOT_FOUND',
    message: `${label} has no file ${name}.`,
    fix: 'Choose a folder that holds this file.',
  });
}

/** A file set over bytes in memory. */
export function memoryFileSet(label: string, files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>): FileSet {
  return {
    label,
    names: () => [...files.keys()],
    open: (name) => {
      const bytes = files.get(name);
      if (bytes === undefined) return Promise.reject(notFound(label, name));
      return Promise.resolve(bytesSource(name, bytes));
    },
  };
}

/** A file set over files that were picked or dropped in the browser. */
export function blobFileSet(label: string, files: readonly { path: string; blob: Blob }[]): FileSet {
  const byPath = new Map(files.map(({ path, blob }) => [path, blob]));
  return {
    label,
    names: () => [...byPath.keys()],
    open: (name) => {
      const blob = byPath.get(name);
      if (blob === undefined) return Promise.reject(notFound(label, name));
      return Promise.resolve(blobSource(name, blob));
    },
  };
}

/** The files below `folder/`, as if that folder had been chosen. */
export function subFolder(files: FileSet, folder: string): FileSet {
  const prefix = `${folder}/`;
  return {
    label: `${files.label}/${folder}`,
    names: () =>
      files.names().flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : [])),
    open: (name) => files.open(prefix + name),
  };
}

/** The one folder, with its slash, in which all names lie; empty when they lie in several or in none. */
export function commonFolder(names: readonly string[]): string {
  const tops = new Set(names.map((name) => name.slice(0, name.indexOf('/') + 1)));
  const [top] = tops;
  return tops.size === 1 && top !== undefined ? top : '';
}

/** Takes one folder level off when everything lies in one folder: browsers hand a dropped folder over that way. */
export function withoutCommonFolder(files: FileSet): FileSet {
  const top = commonFolder(files.names());
  return top === '' ? files : subFolder(files, top.slice(0, -1));
}

/** The bytes of a file of a bounded size. */
export async function readWhole(
  files: FileSet,
  name: string,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const source = await files.open(name);
  if (source.size > maxBytes) {
    throw new StudioError({
      code: 'INPUT_TOO_LARGE',
      message: `${name} has ${String(source.size)} bytes; at most ${String(maxBytes)} are read.`,
      fix: 'Check that this is the right file.',
    });
  }
  return source.read(0, source.size);
}

/** The text of a UTF-8 file of a bounded size. */
export async function readText(
  files: FileSet,
  name: string,
  maxBytes: number,
  code?: ErrorCode,
): Promise<string> {
  return decodeUtf8(await readWhole(files, name, maxBytes), name, code);
}

/** The first names of a list, for messages: `a, b, c and 4 more`. */
export function someNames(names: readonly string[], limit = 8): string {
  if (names.length === 0) return 'nothing';
  const rest = names.length - limit;
  return names.slice(0, limit).join(', ') + (rest > 0 ? ` and ${String(rest)} more` : '');
}
