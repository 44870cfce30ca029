/** Which paths an archive may hold: none that means something else on some system, none that hides another. */
import { StudioError } from '../errors.ts';

export const MAX_NAME_BYTES = 255;
export const MAX_DEPTH = 6;

export function tarError(archive: string, problem: string): StudioError {
  return new StudioError({
    code: 'TAR_INVALID',
    message: `${archive}: ${problem}.`,
    fix: 'The archive is damaged or holds what an adapter archive does not. Get it again, or unpack it and open the folder.',
  });
}

const RESERVED = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i;

function problemOf(path: string): string | null {
  if (new TextEncoder().encode(path).byteLength > MAX_NAME_BYTES) return 'is too long';
  if (/\p{Cc}|\p{Surrogate}/u.test(path)) return 'holds control characters';
  if (path.includes('\\')) return 'holds a backslash';
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) return 'is absolute';
  const parts = path.split('/');
  if (parts.length > MAX_DEPTH) return 'lies too deep';
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..') return 'is no plain relative path';
    if (/[. ]$/.test(part)) return 'ends in a dot or a space';
    if (RESERVED.test(part)) return 'is reserved on Windows';
  }
  return null;
}

/** Collects the paths of one archive and refuses bad and clashing ones. */
export class PathRegister {
  readonly #archive: string;
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();

  constructor(archive: string) {
    this.#archive = archive;
  }

  /**
   * The path in its one form (composed accents, no `./` in front), or null for the root folder itself. `tar -C folder .`
   * writes the root as `./` and everything in it with that prefix; Python writes a root without a name as `/`.
   */
  add(raw: string, isFolder: boolean): string | null {
    let path = raw.normalize('NFC');
    if (isFolder) path = path.replace(/\/$/, '');
    if (isFolder && (path === '.' || path === '')) return null;
    path = path.replace(/^\.\//, '');
    const problem = problemOf(path);
    const shown = JSON.stringify(path.slice(0, 80));
    if (problem !== null) throw tarError(this.#archive, `the entry ${shown} ${problem}`);
    // Names that differ only in case are one file on some systems.
    const key = path.toLowerCase();
    const parts = key.split('/');
    for (let i = 1; i < parts.length; i++) this.#addFolder(parts.slice(0, i).join('/'), shown);
    if (isFolder) this.#addFolder(key, shown);
    else if (this.#files.has(key) || this.#folders.has(key)) {
      throw tarError(this.#archive, `the entry ${shown} occurs twice`);
    } else this.#files.add(key);
    return path;
  }

  #addFolder(key: string, shown: string): void {
    if (this.#files.has(key)) throw tarError(this.#archive, `the entry ${shown} makes a folder of a file`);
    this.#folders.add(key);
  }
}
