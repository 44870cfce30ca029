/**
 * The store in a folder, for Node. One file per record and per chunk; every file is written under a temporary name,
 * synced and renamed. A checkpoint's file appears last, and that is the commit.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StudioError } from '../errors.ts';
import type { Chunk } from '../formats/streams.ts';
import { type RecordChange, type SpaceEstimate, type StoreBackend, type StoreLocks } from './backend.ts';
import { codeOfFailure, failure, mayPass, nodeFileOps, readIfThere, type FileOps } from './folder-files.ts';
import { folderLocks } from './folder-locks.ts';
import { checkIsOurs, META_FILE, openMeta } from './folder-meta.ts';
import { RecordFolder, recordText } from './folder-records.ts';
import {
  checkpointSchema,
  chunksOf,
  journalSchema,
  runSchema,
  tombstoneSchema,
  type CheckpointRecord,
  type StoreContents,
  type StoreMeta,
} from './records.ts';
import { retrying } from './retry.ts';

/** Names of temporary files; anything else in that folder is not the store's. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface FolderOptions {
  /** The changes on disk; default the real ones. */
  files?: FileOps;
  /** False: refuse a folder that is no store yet, instead of making one. Default true. */
  create?: boolean;
}

class FolderBackend implements StoreBackend {
  readonly home = 'folder';
  readonly label: string;
  readonly meta: StoreMeta;
  readonly locks: StoreLocks;
  readonly #files: FileOps;
  readonly #runs;
  readonly #checkpoints;
  readonly #tombstones;
  readonly #journals;

  constructor(dir: string, meta: StoreMeta, locks: StoreLocks, files: FileOps) {
    this.label = dir;
    this.meta = meta;
    this.locks = locks;
    this.#files = files;
    this.#runs = new RecordFolder(join(dir, 'runs'), runSchema);
    this.#checkpoints = new RecordFolder(join(dir, 'checkpoints'), checkpointSchema);
    this.#tombstones = new RecordFolder(join(dir, 'tombstones'), tombstoneSchema);
    this.#journals = new RecordFolder(join(dir, 'journal'), journalSchema);
  }

  newHash() {
    const hash = createHash('sha256');
    return { update: (bytes: Uint8Array) => hash.update(bytes), hex: () => hash.digest('hex') };
  }

  /** Tries a step of a change again where that helps; every step can be repeated. */
  async #try<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await retrying(work, mayPass);
    } catch (error) {
      throw failure(this.label, error);
    }
  }

  /** Written whole under its name, or not at all. */
  async #write(path: string, bytes: Uint8Array): Promise<void> {
    await this.#try(async () => {
      const temporary = join(this.label, 'tmp', randomUUID());
      try {
        await this.#files.writeNew(temporary, bytes);
        await this.#files.rename(temporary, path);
      } catch (error) {
        await this.#files.remove(temporary).catch(() => undefined);
        throw error;
      }
    });
  }

  async #syncFolder(path: string): Promise<void> {
    await this.#try(() => this.#files.syncFolder(path));
  }

  async #writeRecords<T extends { id: string }>(
    folder: RecordFolder<T>,
    records: readonly T[] = [],
  ): Promise<void> {
    for (const record of records) {
      const path = folder.path(record.id);
      await this.#write(path, new TextEncoder().encode(recordText(record)));
      folder.forget(record.id);
      await this.#syncFolder(dirname(path));
    }
  }

  async #removeRecords<T extends { id: string }>(
    folder: RecordFolder<T>,
    ids: readonly string[] = [],
  ): Promise<void> {
    const there = ids.map((id) => ({ id, path: folder.path(id) })).filter(({ path }) => existsSync(path));
    for (const { id, path } of there) {
      await this.#try(() => this.#files.remove(path));
      folder.forget(id);
    }
    const [first] = there;
    if (first !== undefined) await this.#syncFolder(dirname(first.path));
  }

  #chunkPath(sha256: string): string {
    return join(this.label, 'chunks', sha256.slice(0, 2), sha256);
  }

  async contents(): Promise<StoreContents> {
    const unreadable: StoreContents['unreadable'] = [];
    try {
      // Checkpoints first: one that is on its way to the bin is then seen in at least one of the two places.
      const listed = await this.#checkpoints.all(unreadable);
      const tombstones = await this.#tombstones.all(unreadable);
      const [runs, journals] = [await this.#runs.all(unreadable), await this.#journals.all(unreadable)];
      // A crash in the middle of a change leaves an old record beside the one that took its place: overwriting has
      // happened as soon as the new one is there, and whatever else is listed is not in the bin.
      const replaced = new Set(listed.flatMap(({ replaces }) => (replaces === null ? [] : [replaces])));
      const binned = new Set(tombstones.map(({ id }) => id));
      const checkpoints = listed.filter(({ id }) => !(replaced.has(id) && binned.has(id)));
      const here = new Set(checkpoints.map(({ id }) => id));
      return {
        runs,
        checkpoints,
        tombstones: tombstones.filter(({ id }) => !here.has(id)),
        journals,
        unreadable,
      };
    } catch (error) {
      throw failure(this.label, error);
    }
  }

  async putJournal(journal: Parameters<StoreBackend['putJournal']>[0]): Promise<void> {
    await this.#writeRecords(this.#journals, [journal]);
  }

  async putChunks(chunks: Parameters<StoreBackend['putChunks']>[0]): Promise<void> {
    const folders = new Set<string>();
    for (const { sha256, bytes } of chunks) {
      const path = this.#chunkPath(sha256);
      if (!folders.has(dirname(path))) await this.#try(() => this.#files.makeFolder(dirname(path)));
      folders.add(dirname(path));
      await this.#write(path, bytes);
    }
    for (const folder of folders) await this.#syncFolder(folder);
    if (folders.size > 0) await this.#syncFolder(join(this.label, 'chunks'));
  }

  /** A new checkpoint whose name could not be made durable is taken back: a save that failed must not be listed. */
  async #commit(checkpoints: readonly CheckpointRecord[]): Promise<void> {
    for (const record of checkpoints) {
      const isNew = !existsSync(this.#checkpoints.path(record.id));
      try {
        await this.#writeRecords(this.#checkpoints, [record]);
      } catch (error) {
        if (isNew) await this.#removeRecords(this.#checkpoints, [record.id]).catch(() => undefined);
        throw error;
      }
    }
  }

  async apply(change: RecordChange): Promise<void> {
    const { runs, checkpoints = [], binned = [], forgotten = [], runsForgotten, journalsDone } = change;
    // Chunks that another writer put there may not have their names on the disk yet.
    const folders = new Set([...chunksOf(checkpoints).keys()].map((sha) => dirname(this.#chunkPath(sha))));
    for (const folder of folders) await this.#syncFolder(folder);
    await this.#writeRecords(this.#runs, runs);
    await this.#writeRecords(this.#tombstones, binned);
    await this.#commit(checkpoints);
    const tidyUp = async (): Promise<void> => {
      await this.#removeRecords(this.#checkpoints, [...binned.map(({ id }) => id), ...forgotten]);
      await this.#removeRecords(this.#tombstones, [...checkpoints.map(({ id }) => id), ...forgotten]);
      await this.#removeRecords(this.#runs, runsForgotten);
      await this.#removeRecords(this.#journals, journalsDone);
    };
    // With a checkpoint written it has happened: what is left over by now is hidden, and swept at the next start.
    await (checkpoints.length > 0 ? tidyUp().catch(() => undefined) : tidyUp());
  }

  async readChunk(sha256: string): Promise<Chunk | null> {
    return this.#try(async () => {
      const bytes = await readIfThere(this.#chunkPath(sha256)).catch((error: unknown) => {
        // A bad place on the disk: the bytes are gone, as if the file were.
        if (codeOfFailure(error) === 'EIO') return null;
        throw error;
      });
      return bytes === null ? null : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    });
  }

  async listChunks(): Promise<Map<string, number>> {
    return this.#try(async () => {
      const chunks = new Map<string, number>();
      for (const folder of await readdir(join(this.label, 'chunks'))) {
        if (!/^[0-9a-f]{2}$/.test(folder)) continue;
        const names = await readdir(join(this.label, 'chunks', folder));
        const hashes = names.filter((name) => /^[0-9a-f]{64}$/.test(name));
        const infos = await Promise.all(
          hashes.map((sha256) => stat(this.#chunkPath(sha256)).catch(() => null)),
        );
        for (const [i, sha256] of hashes.entries()) {
          const info = infos[i];
          if (info !== undefined && info !== null) chunks.set(sha256, info.size);
        }
      }
      return chunks;
    });
  }

  async deleteChunks(sha256s: readonly string[]): Promise<void> {
    for (const sha256 of sha256s) await this.#try(() => this.#files.remove(this.#chunkPath(sha256)));
  }

  async sweepTemporary(): Promise<void> {
    const tmp = join(this.label, 'tmp');
    for (const name of await this.#try(() => readdir(tmp))) {
      if (UUID.test(name)) await this.#try(() => this.#files.remove(join(tmp, name)));
    }
    const { checkpoints, tombstones } = await this.contents();
    const listed = new Set(checkpoints.map(({ id }) => id));
    const binned = new Set(tombstones.map(({ id }) => id));
    await this.#removeRecords(this.#tombstones, [...listed]);
    await this.#removeRecords(this.#checkpoints, [...binned]);
  }

  async estimate(): Promise<SpaceEstimate | null> {
    const { bsize, blocks, bfree, bavail } = await this.#try(() => statfs(this.label));
    const usage = (blocks - bfree) * bsize;
    return { usage, quota: usage + bavail * bsize };
  }

  during<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Opens the store in a folder; makes it when it is not there. */
export async function openFolderBackend(dir: string, options: FolderOptions = {}): Promise<StoreBackend> {
  const { files = nodeFileOps, create = true } = options;
  if (!create && !existsSync(join(dir, META_FILE))) {
    throw new StudioError({
      code: 'FILE_NOT_FOUND',
      message: `There is no checkpoint store in ${dir}.`,
      fix: 'Name the folder that the checkpoints were saved to.',
    });
  }
  try {
    mkdirSync(dir, { recursive: true });
    await checkIsOurs(dir);
    const locks = folderLocks(join(dir, 'locks'));
    const meta = await openMeta(dir, locks, files);
    return new FolderBackend(dir, meta, locks, files);
  } catch (error) {
    throw failure(dir, error);
  }
}
