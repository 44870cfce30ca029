/** A cold store in a folder: on another disk, or where a bucket is mounted. */
import { readdir, rm } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import type { ColdStore } from '../api/cold-store.ts';
import { BadRequestError } from '../api/errors.ts';
import { StudioError } from '../errors.ts';
import { sourceChunks, toStream, type Chunk } from '../formats/streams.ts';
import { fileSource, writeFileAtomically } from '../storage/node-fs.ts';

function isMissing(error: unknown): boolean {
  return error instanceof StudioError && error.code === 'FILE_NOT_FOUND';
}

/**
 * A cold store whose archives are files below a folder, which is made with the first of them. A file is there whole, or
 * it is not there. Its calls reject with FILE_WRITE_FAILED or FILE_UNREADABLE where the disk does.
 * @example
 * new CheckpointManager(client, { maxCheckpoints: 3, archiveTo: { store: folderColdStore('/mnt/archive') } });
 */
export function folderColdStore(folder: string): ColdStore {
  const root = resolve(folder);
  const pathOf = (key: string): string => {
    const path = resolve(root, ...key.split('/'));
    if (path.startsWith(root + sep)) return path;
    throw new BadRequestError({ message: `The key ${key.slice(0, 200)} lies outside ${root}.` });
  };
  return {
    put: async (key, body) => {
      await writeFileAtomically(pathOf(key), body as ReadableStream<Chunk>, { overwrite: true });
    },
    get: async (key) => {
      try {
        return toStream(sourceChunks(await fileSource(pathOf(key))));
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    delete: (key) => rm(pathOf(key), { force: true }),
    list: async (prefix) => {
      const below = prefix.slice(0, prefix.lastIndexOf('/') + 1);
      const entries = await readdir(below === '' ? root : pathOf(below), {
        recursive: true,
        withFileTypes: true,
      }).catch((error: unknown) => {
        if ((error as { code?: string }).code === 'ENOENT') return [];
        throw error;
      });
      return (
        entries
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) =>
            join(parentPath, name)
              .slice(root.length + 1)
              .replaceAll(sep, '/'),
          )
          // A hidden file is one that was never finished.
          .filter((key) => key.startsWith(prefix) && !/(^|\/)\.[^/]*$/.test(key))
      );
    },
  };
}
