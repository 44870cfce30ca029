/** Hub downloads in a folder on disk. */
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { StudioError } from '../errors.ts';
import { fileSource } from '../storage/node-fs.ts';
import type { HubCache } from './hub-cache.ts';

function failed(path: string, error: unknown): StudioError {
  const code =
    typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new StudioError(
    {
      code: 'FILE_WRITE_FAILED',
      message: `The download could not be stored at ${path} (${full ? 'the disk is full' : code}).`,
      fix: full ? 'Free some space and try again; what has arrived is kept.' : 'Choose another cache folder.',
    },
    { cause: error },
  );
}

/** A cache below `dir`, which is made when it is needed. */
export function nodeHubCache(dir: string): HubCache {
  const pathOf = (key: string): string => {
    const parts = key.split('/');
    if (parts.some((part) => !/^[A-Za-z0-9._-]+$/.test(part) || /^\.+$/.test(part))) {
      throw failed(dir, new Error(`bad key ${key}`));
    }
    return join(dir, ...parts);
  };
  const length = async (key: string): Promise<number> => {
    const info = await stat(pathOf(key)).catch(() => null);
    return info?.size ?? 0;
  };
  return {
    length,
    readText: (key) => readFile(pathOf(key), 'utf8').catch(() => null),
    writeText: async (key, text) => {
      const path = pathOf(key);
      const temporary = `${path}.${randomUUID()}`;
      try {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(temporary, text, { flush: true });
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true });
        throw failed(path, error);
      }
    },
    append: async (key, offset, bytes) => {
      const path = pathOf(key);
      try {
        await mkdir(dirname(path), { recursive: true });
        const handle = await open(path, 'a');
        try {
          // Two programs may download the same file: the slower one must not write into the faster one's bytes.
          if ((await handle.stat()).size !== offset) throw new Error('another program is downloading it');
          for (let at = 0; at < bytes.byteLength;) {
            at += (await handle.write(bytes, at)).bytesWritten;
          }
          await handle.datasync();
        } finally {
          await handle.close();
        }
      } catch (error) {
        throw failed(path, error);
      }
    },
    source: (key, name) => fileSource(pathOf(key), name),
    remove: (key) => rm(pathOf(key), { force: true }),
  };
}
