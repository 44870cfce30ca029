/** The changes that the folder store makes on disk, one call each, so that a test can let any of them fail. */
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { StudioError } from '../errors.ts';
import { storeFull } from './full.ts';

export interface FileOps {
  /** Writes a file that is not there yet, down to the disk. */
  writeNew(path: string, bytes: Uint8Array): Promise<void>;
  /** Replaces what is there in one step. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, also one that is gone already. */
  remove(path: string): Promise<void>;
  makeFolder(path: string): Promise<void>;
  /** Makes the names in a folder durable. */
  syncFolder(path: string): Promise<void>;
}

/** The system's word for what went wrong, such as ENOSPC. */
export function codeOfFailure(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}

/** Systems that cannot open a folder for syncing keep its names by themselves. */
const CANNOT_SYNC = ['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP', 'ENOSYS'];

async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!CANNOT_SYNC.includes(codeOfFailure(error))) throw error;
  }
}

/** What may be over in a moment; all else stays as it is. */
const TRANSIENT = ['EAGAIN', 'EBUSY', 'EMFILE', 'ENFILE', 'EINTR', 'ETIMEDOUT', 'ESTALE'];
const NO_ROOM = ['ENOSPC', 'EDQUOT'];

/** Whether it may be over in a moment. */
export const mayPass = (error: unknown): boolean => TRANSIENT.includes(codeOfFailure(error));

/** The error that a person sees, for a store in `dir`. */
export function failure(dir: string, error: unknown): StudioError {
  if (error instanceof StudioError) return error;
  const code = codeOfFailure(error);
  if (NO_ROOM.includes(code)) return storeFull(dir, error);
  return new StudioError(
    {
      code: 'STORE_FAILED',
      message: `The store ${dir} cannot be used (${code}).`,
      fix: 'Check the folder and its permissions, or choose another one.',
    },
    { cause: error },
  );
}

export const nodeFileOps: FileOps = {
  writeNew: async (path, bytes) => {
    const handle = await open(path, 'wx');
    try {
      for (let at = 0; at < bytes.byteLength;) at += (await handle.write(bytes, at)).bytesWritten;
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  rename,
  remove: (path) => rm(path, { force: true }),
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true });
  },
  syncFolder,
};

/** The bytes of a file, or null when there is none. */
export async function readIfThere(path: string): Promise<Buffer<ArrayBuffer> | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (codeOfFailure(error) === 'ENOENT') return null;
    throw error;
  }
}
