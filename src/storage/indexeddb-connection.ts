/**
 * The connection to the database, which a browser may take away at any time: it is opened again where that helps, and
 * closed when another tab needs a newer layout. Nothing here waits for ever.
 */
import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import { StudioError } from '../errors.ts';
import { storeFull } from './full.ts';
import { STORE_SCHEMA } from './records.ts';
import type { CheckpointRecord, Journal, RunRecord, StoreMeta, Tombstone } from './records.ts';
import { retrying } from './retry.ts';

/** Room between the schemas for what browsers must be told without one. */
export const DB_VERSION = 10 * STORE_SCHEMA;

export interface StoreSchema extends DBSchema {
  meta: { key: string; value: StoreMeta };
  runs: { key: string; value: RunRecord };
  /** No two of a run have the same name. */
  checkpoints: { key: string; value: CheckpointRecord; indexes: { name: [string, string] } };
  chunks: { key: string; value: ArrayBuffer };
  journal: { key: string; value: Journal };
  tombstones: { key: string; value: Tombstone };
}

export type Database = IDBPDatabase<StoreSchema>;

/** What happens to the connection from outside, for a line on the page. */
export type ConnectionNotice =
  /** Waiting for another tab to let go of an older layout. */
  | 'blocked'
  /** Another tab needs a newer layout; this connection closes. */
  | 'closing'
  /** The browser ended the connection; it is opened again when it is needed. */
  | 'terminated';

export interface ConnectionOptions {
  name: string;
  onNotice?: ((notice: ConnectionNotice) => void) | undefined;
  /** How long opening may take, in milliseconds. A tab that blocks it is not always announced. */
  openTimeoutMs: number;
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '');
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function isFull(error: unknown): boolean {
  return nameOf(error) === 'QuotaExceededError' || /full disk|disk is full|no space/i.test(textOf(error));
}

/** Errors of a connection that another one may not have. */
function mayPass(error: unknown): boolean {
  if (isFull(error)) return false;
  return ['UnknownError', 'InvalidStateError', 'AbortError', 'TimeoutError'].includes(nameOf(error));
}

function failure(name: string, error: unknown): StudioError {
  if (error instanceof StudioError) return error;
  if (isFull(error)) return storeFull('the browser’s storage', error);
  if (nameOf(error) === 'VersionError') {
    return new StudioError(
      {
        code: 'STORE_NEWER',
        message: 'The checkpoints were opened by a newer version of Lorikeet, perhaps in another tab.',
        fix: 'Reload this page.',
      },
      { cause: error },
    );
  }
  return new StudioError(
    {
      code: 'STORE_FAILED',
      message: `The browser’s storage for ${name} failed (${nameOf(error)}: ${textOf(error)}).`,
      fix: 'Reload the page. If that does not help, restart the browser; export what is still open first.',
    },
    { cause: error },
  );
}

/** Makes what is missing; never rewrites what is there. */
function upgrade(db: Database, oldVersion: number): void {
  if (oldVersion < 10) {
    db.createObjectStore('meta');
    db.createObjectStore('runs', { keyPath: 'id' });
    db.createObjectStore('checkpoints', { keyPath: 'id' }).createIndex('name', ['runId', 'name'], {
      unique: true,
    });
    db.createObjectStore('chunks');
    db.createObjectStore('journal', { keyPath: 'id' });
    db.createObjectStore('tombstones', { keyPath: 'id' });
  }
}

export class Connection {
  readonly #options: ConnectionOptions;
  #db: Promise<Database> | null = null;
  /** Pieces of work that must not be cut by a change of the layout. */
  #busy = 0;
  #closeWhenIdle = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Runs work on the database; a lost connection is opened again and the work repeated, so it must bear that. */
  async run<T>(work: (db: Database) => Promise<T>): Promise<T> {
    try {
      return await retrying(async () => {
        try {
          return await work(await this.#open());
        } catch (error) {
          // Also after a full disk: some browsers give a connection up that has seen one.
          if (mayPass(error) || isFull(error)) await this.close();
          throw error;
        }
      }, mayPass);
    } catch (error) {
      throw failure(this.#options.name, error);
    }
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await work();
    } finally {
      this.#busy -= 1;
      if (this.#busy === 0 && this.#closeWhenIdle) await this.close();
    }
  }

  /** Transactions that have begun are finished first. */
  async close(): Promise<void> {
    const db = this.#db;
    this.#db = null;
    this.#closeWhenIdle = false;
    (await db?.catch(() => null))?.close();
  }

  #open(): Promise<Database> {
    if (this.#db !== null) return this.#db;
    const opening = this.#openWithin();
    this.#db = opening;
    opening.catch(() => this.#forget(opening));
    return opening;
  }

  #forget(connection: Promise<Database>): void {
    if (this.#db === connection) this.#db = null;
  }

  async #openWithin(): Promise<Database> {
    const { name, onNotice, openTimeoutMs } = this.#options;
    const opening: Promise<Database> = openDB<StoreSchema>(name, DB_VERSION, {
      upgrade,
      blocked: () => onNotice?.('blocked'),
      blocking: () => {
        onNotice?.('closing');
        if (this.#busy > 0) this.#closeWhenIdle = true;
        else void this.close();
      },
      terminated: () => {
        onNotice?.('terminated');
        this.#db = null;
      },
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        // It may still open; then nobody wants it any more.
        opening.then(
          (db) => db.close(),
          () => undefined,
        );
        reject(
          new StudioError({
            code: 'STORE_LOCKED',
            message: 'Another tab holds the checkpoints with an older version of Lorikeet.',
            fix: 'Close or reload the other tabs of Lorikeet, then reload this one.',
          }),
        );
      }, openTimeoutMs);
    });
    try {
      return await Promise.race([opening, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }
}
