/**
 * Checkpoints whose bytes lie in a cold store: they are moved there whole and read back before anything is deleted, they
 * stay in lists as rows with `storage: "cold"`, and a load fetches them back to where they were.
 */
import { Sha256 } from '../formats/sha256.ts';
import type { BackendRegistry } from './backend.ts';
import { bytesOf, streamOf, type ColdStore } from './cold-store.ts';
import { CheckpointCorruptError, UnsupportedFeatureError } from './own-errors.ts';
import {
  archiveKey,
  folderOf,
  hasRunOut,
  MAX_RECORD_BYTES,
  parseColdRecord,
  recordKey,
  type ColdRecord,
} from './cold-record.ts';
import { parseCheckpointPath, type ParsedCheckpointPath } from './paths.ts';
import type { Checkpoint } from './types.ts';

/** The stream, with what it hashes to once it has been read to its end. */
function hashed(stream: ReadableStream<Uint8Array>, onEnd: (sha256: string, size: number) => void) {
  const hash = new Sha256();
  let size = 0;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        hash.update(chunk);
        size += chunk.byteLength;
        controller.enqueue(chunk);
      },
      flush: () => {
        onEnd(hash.hex(), size);
      },
    }),
  );
}

export class ColdShelf {
  readonly #registry: () => BackendRegistry;
  readonly #label: () => string;
  readonly #coming = new Map<string, Promise<boolean>>();
  #store: ColdStore | null = null;

  constructor(registry: () => BackendRegistry, label: () => string) {
    this.#registry = registry;
    this.#label = label;
  }

  /** From now on this is the store. Throws UnsupportedFeatureError where the backend takes no checkpoints back. */
  attach(store: ColdStore): void {
    if (this.#registry().restore === undefined) {
      throw new UnsupportedFeatureError({
        feature: 'archiveTo',
        backend: this.#label(),
        why: 'training state cannot be moved to another store and back',
        fix: 'Download sampler archives instead.',
      });
    }
    this.#store = store;
  }

  /** Rows of a run that lie there. */
  async rows(runId: string): Promise<Checkpoint[]> {
    const store = this.#store;
    if (store === null) return [];
    const keys = (await store.list(folderOf(runId))).filter((key) => key.endsWith('.json'));
    const records = await Promise.all(keys.map((key) => this.#read(store, key)));
    return records.flatMap((record) =>
      record === null || hasRunOut(record) ? [] : [{ ...record.row, storage: 'cold' as const }],
    );
  }

  /** The rows of a list with those that lie in the cold store and not in it. */
  async merged(runId: string, rows: readonly Checkpoint[]): Promise<Checkpoint[]> {
    const known = new Set(rows.map(({ checkpointId }) => checkpointId));
    return [...rows, ...(await this.rows(runId)).filter(({ checkpointId }) => !known.has(checkpointId))];
  }

  /**
   * Moves a checkpoint: archive and record are written and read back, then it is deleted where it was. Throws, with the
   * checkpoint where it was, when any of that fails.
   */
  async move(row: Checkpoint): Promise<void> {
    const store = this.#store;
    if (store === null) return;
    const path = parseCheckpointPath(row.path);
    const { body } = await this.#registry().download(path, { from: 0, format: null, layout: null });
    let record: ColdRecord | null = null;
    await store.put(
      archiveKey(path),
      hashed(body, (sha256, sizeBytes) => {
        record = { version: 1, row, sha256, sizeBytes };
      }),
    );
    await this.#check(store, path, record);
    await store.put(recordKey(path), streamOf(new TextEncoder().encode(JSON.stringify(record))));
    if ((await this.#read(store, recordKey(path))) === null) throw this.#damaged(path, recordKey(path));
    await this.#registry().deleteCheckpoint(path);
  }

  /** Brings a checkpoint back if it lies in the cold store and nowhere else. Whether it did. */
  warm(path: ParsedCheckpointPath): Promise<boolean> {
    if (this.#store === null || path.alias !== null) return Promise.resolve(false);
    const store = this.#store;
    const key = recordKey(path);
    const coming = this.#coming.get(key) ?? this.#fetch(store, path);
    this.#coming.set(key, coming);
    const done = (): void => {
      this.#coming.delete(key);
    };
    coming.then(done, done);
    return coming;
  }

  /** Deletes what lies there under the path. Whether anything did. */
  async remove(path: ParsedCheckpointPath): Promise<boolean> {
    const store = this.#store;
    if (store === null || (await this.#read(store, recordKey(path))) === null) return false;
    // The record first: an archive without one does not count.
    await store.delete(recordKey(path));
    await store.delete(archiveKey(path));
    return true;
  }

  async #fetch(store: ColdStore, path: ParsedCheckpointPath): Promise<boolean> {
    const record = await this.#read(store, recordKey(path));
    if (record === null || hasRunOut(record)) return false;
    const rows = await this.#registry()
      .listCheckpoints(path.runId)
      .catch((): Checkpoint[] => []);
    if (rows.some(({ checkpointId }) => checkpointId === path.checkpointId)) return false;
    // Before anything is taken in: what is damaged is named as that, and not as what it looks like then.
    await this.#check(store, path, record);
    const body = await store.get(archiveKey(path));
    if (body === null) throw this.#damaged(path, archiveKey(path));
    await this.#registry().restore?.(parseCheckpointPath(record.row.path), body, record.row);
    return true;
  }

  /** Throws where the archive is not there to the last bit. */
  async #check(store: ColdStore, path: ParsedCheckpointPath, record: ColdRecord | null): Promise<void> {
    const body = await store.get(archiveKey(path));
    let found = '';
    if (body !== null) {
      const sink = new WritableStream<Uint8Array>();
      await hashed(body, (sha256) => (found = sha256)).pipeTo(sink);
    }
    if (record === null || found !== record.sha256) throw this.#damaged(path, archiveKey(path));
  }

  async #read(store: ColdStore, key: string): Promise<ColdRecord | null> {
    const body = await store.get(key);
    if (body === null) return null;
    return parseColdRecord(key, await bytesOf(body, MAX_RECORD_BYTES).catch(() => new Uint8Array()));
  }

  #damaged(path: ParsedCheckpointPath, file: string): CheckpointCorruptError {
    return new CheckpointCorruptError({
      message: `The archive of ${path.path} in the cold store is not what was put there.`,
      path: path.path,
      files: [file],
    });
  }
}
