/** Files and folders on disk, for the command line: reading by ranges, writing all or nothing. */
import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { StudioError } from '../errors.ts';
import type { ByteSource } from '../formats/bytes.ts';
import type { FileEntry } from '../formats/file-entry.ts';
import type { FileSet } from '../formats/file-set.ts';
import { fromStream, type Chunks } from '../formats/streams.ts';

const MAX_FILES = 10_000;
/** Deep enough for every model and adapter folder; also ends loops of links. */
const MAX_DEPTH = 4;

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}

function readError(path: string, error: unknown): StudioError {
  const missing = codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
  return new StudioError(
    missing
      ? { code: 'FILE_NOT_FOUND', message: `There is no ${path}.`, fix: 'Check the path.' }
      : {
          code: 'FILE_UNREADABLE',
          message: `${path} cannot be read (${codeOf(error)}).`,
          fix: 'Check the path and its permissions.',
        },
    { cause: error },
  );
}

function writeError(path: string, error: unknown): StudioError {
  const full = codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT';
  return new StudioError(
    {
      code: 'FILE_WRITE_FAILED',
      message: `${path} could not be written (${full ? 'the disk is full' : codeOf(error)}). Nothing was left behind.`,
      fix: full ? 'Free some space and try again.' : 'Choose another place, or check the permissions.',
    },
    { cause: error },
  );
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw readError(path, error);
  }
}

/**
 * A file on disk. Each read opens it anew, so nothing needs closing; a file that was replaced or changed since the
 * first look is refused rather than read as a mixture.
 */
export async function fileSource(path: string, name = basename(path)): Promise<ByteSource> {
  const first = await statOf(path);
  const read = async (start: number, end: number): Promise<Uint8Array<ArrayBuffer>> => {
    const handle = await open(path, 'r').catch((error: unknown) => {
      throw readError(path, error);
    });
    try {
      const now = await handle.stat();
      if (now.ino !== first.ino || now.size !== first.size || now.mtimeMs !== first.mtimeMs) {
        throw new StudioError({
          code: 'FILE_UNREADABLE',
          message: `${path} changed while it was being read.`,
          fix: 'Wait until nothing writes to it, and try again.',
        });
      }
      const bytes = new Uint8Array(end - start);
      for (let at = 0; at < bytes.byteLength;) {
        const { bytesRead } = await handle.read(bytes, at, bytes.byteLength - at, start + at);
        if (bytesRead === 0) throw readError(path, new Error('it ends too early'));
        at += bytesRead;
      }
      return bytes;
    } catch (error) {
      throw error instanceof StudioError ? error : readError(path, error);
    } finally {
      await handle.close();
    }
  };
  return { name, size: first.size, read };
}

/** Lists the files below a folder, hidden ones left out; links are followed (the Hub's own cache is made of them). */
async function listFiles(dir: string, prefix: string, depth: number, found: string[]): Promise<void> {
  for (const name of (await readdir(join(dir, prefix))).sort()) {
    if (name.startsWith('.')) continue;
    const path = prefix + name;
    const info = await stat(join(dir, path)).catch(() => null);
    if (info?.isDirectory() && depth < MAX_DEPTH) await listFiles(dir, `${path}/`, depth + 1, found);
    else if (info?.isFile()) found.push(path);
    if (found.length > MAX_FILES) {
      throw new StudioError({
        code: 'INPUT_TOO_LARGE',
        message: `${dir} holds more than ${String(MAX_FILES)} files.`,
        fix: 'Choose the folder of one model or one adapter.',
      });
    }
  }
}

/** A folder on disk as a file set. */
export async function folderFileSet(dir: string, label = dir): Promise<FileSet> {
  const names: string[] = [];
  try {
    await listFiles(dir, '', 1, names);
  } catch (error) {
    throw error instanceof StudioError ? error : readError(dir, error);
  }
  const known = new Set(names);
  return {
    label,
    names: () => names,
    open: (name) => {
      if (!known.has(name)) return Promise.reject(readError(join(dir, name), { code: 'ENOENT' }));
      return fileSource(join(dir, ...name.split('/')), name);
    },
  };
}

/** A path as what it is: a folder as a file set, a file as a byte source. */
export async function openPath(path: string): Promise<FileSet | ByteSource> {
  return (await statOf(path)).isDirectory() ? folderFileSet(path) : fileSource(path);
}

export interface WriteOptions {
  /** Replace what is there. Without it, an existing file or a folder with content is refused. */
  overwrite?: boolean;
}

/** Throws when `path` exists and would be refused by the writers below; ask before a long run, not after it. */
export async function checkTarget(path: string, options: WriteOptions = {}): Promise<void> {
  const info = await stat(path).catch(() => null);
  if (info === null || options.overwrite === true) return;
  if (info.isDirectory() && (await readdir(path)).length === 0) return;
  throw new StudioError({
    code: 'FILE_WRITE_FAILED',
    message: `${path} exists already${info.isDirectory() ? ' and is not empty' : ''}.`,
    fix: 'Choose another name, or remove it first.',
  });
}

async function writeSynced(path: string, chunks: Chunks): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.byteLength;) {
        at += (await handle.write(chunk, at)).bytesWritten;
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the names in a folder durable; not every system can open folders for that. */
async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r').catch(() => null);
  if (handle === null) return;
  await handle.sync().catch(() => undefined);
  await handle.close();
}

/**
 * Moves `from` to `to`. The system replaces a file or an empty folder in one step; a folder with content goes aside
 * first and comes back when the move fails.
 */
async function moveInto(from: string, to: string): Promise<void> {
  const moved = await rename(from, to).then(
    () => true,
    () => false,
  );
  if (moved) return;
  const aside = `${from}-old`;
  await rename(to, aside);
  try {
    await rename(from, to);
  } catch (error) {
    await rename(aside, to);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

/** Writes under a temporary name beside `path`, then moves it there; on any error nothing is left. */
async function atomically(
  path: string,
  options: WriteOptions,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = resolve(path);
  const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}`);
  await checkTarget(target, options);
  try {
    await mkdir(dirname(target), { recursive: true });
    await write(temporary);
    await checkTarget(target, options);
    await moveInto(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw error instanceof StudioError ? error : writeError(path, error);
  }
}

/** Writes one file whole or not at all. */
export async function writeFileAtomically(
  path: string,
  content: Chunks | ReadableStream<Uint8Array<ArrayBuffer>>,
  options: WriteOptions = {},
): Promise<void> {
  const chunks = content instanceof ReadableStream ? fromStream(content) : content;
  await atomically(path, options, (temporary) => writeSynced(temporary, chunks));
}

/** Writes a folder with these files whole or not at all. */
export async function writeFolderAtomically(
  dir: string,
  entries: readonly FileEntry[],
  options: WriteOptions = {},
): Promise<void> {
  await atomically(dir, options, async (temporary) => {
    await mkdir(temporary);
    for (const entry of entries) {
      const path = resolve(temporary, ...entry.path.split('/'));
      if (!path.startsWith(temporary + sep)) throw new Error(`${entry.path} lies outside the folder`);
      await mkdir(dirname(path), { recursive: true });
      await writeSynced(path, entry.chunks());
      await syncFolder(dirname(path));
    }
    await syncFolder(temporary);
  });
}
