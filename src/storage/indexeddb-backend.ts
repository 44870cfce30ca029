/** The store in a browser: records and chunks in IndexedDB, each change one strict transaction. */
import type { StoreNames } from 'idb';
import { StudioError } from '../errors.ts';
import { Sha256 } from '../formats/sha256.ts';
import type { Chunk } from '../formats/streams.ts';
import { ulid } from '../formats/ulid.ts';
import type { RecordChange, SpaceEstimate, StoreBackend, StoredChunk, StoreLocks } from './backend.ts';
import {
  Connection,
  type ConnectionNotice,
  type Database,
  type StoreSchema,
} from './indexeddb-connection.ts';
import { RECORD_VERSION, STORE_SCHEMA, type Journal, type StoreContents, type StoreMeta } from './records.ts';
import { webLocks } from './web-locks.ts';

export interface IndexedDbOptions {
  /** Default `lorikeet-checkpoints`. */
  name?: string;
  /** Told what happens to the connection from outside. */
  onNotice?: (notice: ConnectionNotice) => void;
  /** Default 10 seconds. */
  openTimeoutMs?: number;
}

type Strict = { durability: 'strict' };
const STRICT: Strict = { durability: 'strict' };
const RECORD_STORES: StoreNames<StoreSchema>[] = ['runs', 'checkpoints', 'tombstones', 'journal'];

/** Records of a newer version are named and left alone. */
function readable<T extends { id: string; version: number }>(
  what: string,
  records: T[],
  unreadable: StoreContents['unreadable'],
): T[] {
  return records.filter(({ id, version }) => {
    if (version <= RECORD_VERSION) return true;
    const problem = `it was written by a newer version of Lorikeet (record version ${String(version)})`;
    unreadable.push({ what: `${what}/${id}`, problem });
    return false;
  });
}

/** A value that the browser kept in a file of its own, and that file is gone or cut. */
function isLostValue(error: unknown): boolean {
  const cause = error instanceof StudioError ? error.cause : error;
  if (!(cause instanceof Error)) return false;
  return (
    /large IndexedDB value/i.test(cause.message) || ['NotReadableError', 'DataError'].includes(cause.name)
  );
}

/** Success is the end of the transaction; of several errors its own is the one that says why. */
async function finished(tx: { done: Promise<void> }, requests: readonly Promise<unknown>[]): Promise<void> {
  const answers = Promise.allSettled(requests);
  await tx.done;
  await answers;
}

class IndexedDbBackend implements StoreBackend {
  readonly home = 'browser';
  readonly label = 'the browser’s storage';
  readonly meta: StoreMeta;
  readonly locks: StoreLocks;
  readonly #connection: Connection;

  constructor(connection: Connection, meta: StoreMeta, locks: StoreLocks) {
    this.#connection = connection;
    this.meta = meta;
    this.locks = locks;
  }

  newHash() {
    return new Sha256();
  }

  /** On the database that this store was opened on, and on no other that took its place. */
  #run<T>(work: (db: Database) => Promise<T>): Promise<T> {
    return this.#connection.run(async (db) => {
      const meta = await db.get('meta', 'meta');
      if (meta?.dbId === this.meta.dbId) return work(db);
      throw new StudioError({
        code: 'STORE_DAMAGED',
        message: 'The checkpoints were deleted from this browser while the page was open.',
        fix: 'Export the adapter that is still in memory, then reload the page.',
      });
    });
  }

  contents(): Promise<StoreContents> {
    return this.#run(async (db) => {
      const tx = db.transaction(RECORD_STORES);
      const [runs, checkpoints, tombstones, journals] = await Promise.all([
        tx.objectStore('runs').getAll(),
        tx.objectStore('checkpoints').getAll(),
        tx.objectStore('tombstones').getAll(),
        tx.objectStore('journal').getAll(),
        tx.done,
      ]);
      const unreadable: StoreContents['unreadable'] = [];
      return {
        runs: readable('runs', runs, unreadable),
        checkpoints: readable('checkpoints', checkpoints, unreadable),
        tombstones: readable('tombstones', tombstones, unreadable),
        journals: readable('journal', journals, unreadable),
        unreadable,
      };
    });
  }

  putJournal(journal: Journal): Promise<void> {
    return this.#run(async (db) => {
      await db.put('journal', journal);
    });
  }

  putChunks(chunks: readonly StoredChunk[]): Promise<void> {
    return this.#run(async (db) => {
      const tx = db.transaction('chunks', 'readwrite', STRICT);
      const puts = chunks.map(({ sha256, bytes }) => {
        // A view of a larger buffer would store all of it.
        const whole = bytes.byteLength === bytes.buffer.byteLength;
        return tx.store.put(whole ? bytes.buffer : bytes.slice().buffer, sha256);
      });
      await finished(tx, puts);
    });
  }

  apply(change: RecordChange): Promise<void> {
    const { runs = [], checkpoints = [], binned = [], forgotten = [] } = change;
    return this.#run(async (db) => {
      const tx = db.transaction(RECORD_STORES, 'readwrite', STRICT);
      const stores = {
        runs: tx.objectStore('runs'),
        listed: tx.objectStore('checkpoints'),
        bin: tx.objectStore('tombstones'),
        journal: tx.objectStore('journal'),
      };
      // Deletions first: a name is free again when its new owner comes.
      const done: Promise<unknown>[] = [
        ...[...binned.map(({ id }) => id), ...forgotten].map((id) => stores.listed.delete(id)),
        ...[...checkpoints.map(({ id }) => id), ...forgotten].map((id) => stores.bin.delete(id)),
        ...runs.map((run) => stores.runs.put(run)),
        ...binned.map((tombstone) => stores.bin.put(tombstone)),
        ...checkpoints.map((checkpoint) => stores.listed.put(checkpoint)),
        ...(change.runsForgotten ?? []).map((id) => stores.runs.delete(id)),
        ...(change.journalsDone ?? []).map((id) => stores.journal.delete(id)),
      ];
      await finished(tx, done);
    });
  }

  async readChunk(sha256: string): Promise<Chunk | null> {
    try {
      const buffer = await this.#run((db) => db.get('chunks', sha256));
      return buffer === undefined ? null : new Uint8Array(buffer);
    } catch (error) {
      if (isLostValue(error)) return null;
      throw error;
    }
  }

  listChunks(): Promise<Map<string, null>> {
    return this.#run(async (db) => {
      const keys = await db.getAllKeys('chunks');
      return new Map(keys.map((key) => [key, null]));
    });
  }

  deleteChunks(sha256s: readonly string[]): Promise<void> {
    if (sha256s.length === 0) return Promise.resolve();
    return this.#run(async (db) => {
      const tx = db.transaction('chunks', 'readwrite');
      await finished(
        tx,
        sha256s.map((sha256) => tx.store.delete(sha256)),
      );
    });
  }

  sweepTemporary(): Promise<void> {
    return Promise.resolve();
  }

  async estimate(): Promise<SpaceEstimate | null> {
    if (!('storage' in navigator)) return null;
    const { usage, quota } = await navigator.storage.estimate();
    return usage === undefined || quota === undefined ? null : { usage, quota };
  }

  during<T>(work: () => Promise<T>): Promise<T> {
    return this.#connection.during(work);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** Reads what the store is, or makes it one. */
function openMeta(connection: Connection): Promise<StoreMeta> {
  return connection.run(async (db) => {
    const tx = db.transaction('meta', 'readwrite', STRICT);
    let meta = await tx.store.get('meta');
    if (meta === undefined) {
      meta = {
        dbId: ulid(Date.now(), crypto.getRandomValues(new Uint8Array(10))),
        schema: STORE_SCHEMA,
        createdAt: new Date().toISOString(),
      };
      await tx.store.put(meta, 'meta');
    }
    await tx.done;
    return meta;
  });
}

/** Opens the store of this origin; makes it when it is not there. */
export async function openIndexedDbBackend(options: IndexedDbOptions = {}): Promise<StoreBackend> {
  const { name = 'lorikeet-checkpoints', onNotice, openTimeoutMs = 10_000 } = options;
  if (!('indexedDB' in globalThis) || !('locks' in navigator)) {
    throw new StudioError({
      code: 'STORE_FAILED',
      message: 'This page has no storage for checkpoints: it was not loaded over https or from localhost.',
      fix: 'Open Lorikeet over https or from localhost.',
    });
  }
  const connection = new Connection({ name, onNotice, openTimeoutMs });
  const meta = await openMeta(connection);
  return new IndexedDbBackend(connection, meta, webLocks(name));
}
