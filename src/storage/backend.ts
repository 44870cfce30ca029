/**
 * What a home of the store must be able to do. It knows records, chunks and locks; what they mean and in which order
 * they are written, the protocol in commit.ts decides.
 */
import type { Chunk } from '../formats/streams.ts';
import type { CheckpointRecord, Journal, RunRecord, StoreContents, StoreMeta, Tombstone } from './records.ts';

/** A lock that is held until `release`, or until the tab or process that holds it is gone. */
export interface HeldLock {
  /** False once the lock was taken away from outside. */
  held(): boolean;
  release(): Promise<void>;
}

export type LockAnswer = { lock: HeldLock } | { lock: null; holder: string };

export interface LockRequest {
  mode: 'exclusive' | 'shared';
  /** False: answer at once, also when the lock is taken. */
  wait: boolean;
  signal?: AbortSignal;
}

export interface StoreLocks {
  acquire(name: string, request: LockRequest): Promise<LockAnswer>;
}

export interface StoredChunk {
  readonly sha256: string;
  readonly bytes: Chunk;
}

/** Changes to records that belong together. */
export interface RecordChange {
  runs?: readonly RunRecord[];
  /** Listed from now on; one that lay in the bin leaves it. */
  checkpoints?: readonly CheckpointRecord[];
  /** In the bin from now on, and no longer listed. */
  binned?: readonly Tombstone[];
  /** Ids that go for good, from the list or from the bin. */
  forgotten?: readonly string[];
  runsForgotten?: readonly string[];
  journalsDone?: readonly string[];
}

export interface SpaceEstimate {
  /** Bytes in use by the origin or on the disk. */
  usage: number;
  /** Bytes that may be in use at most. */
  quota: number;
}

/** A hash that takes its input in pieces. */
export interface RunningHash {
  update(bytes: Uint8Array): unknown;
  hex(): string;
}

export interface StoreBackend {
  readonly home: 'browser' | 'folder';
  /** What the person knows it by, for messages. */
  readonly label: string;
  readonly meta: StoreMeta;
  readonly locks: StoreLocks;
  newHash(): RunningHash;
  contents(): Promise<StoreContents>;

  /** Durable soon. */
  putJournal(journal: Journal): Promise<void>;
  /** Durable, under their hashes, before it resolves; replaces what is stored there. */
  putChunks(chunks: readonly StoredChunk[]): Promise<void>;
  /**
   * Durable before it resolves. A checkpoint that is put becomes visible in one step with its run, with the one that
   * it replaces gone to the bin; after a crash it is there or it is not.
   */
  apply(change: RecordChange): Promise<void>;

  /** Null when there is no such chunk. The bytes are as stored, right or wrong. */
  readChunk(sha256: string): Promise<Chunk | null>;
  /** What is stored; sizes where the home tells them without reading. */
  listChunks(): Promise<Map<string, number | null>>;
  deleteChunks(sha256s: readonly string[]): Promise<void>;
  /** Removes what interrupted writes left; only called while nothing else writes. */
  sweepTemporary(): Promise<void>;

  estimate(): Promise<SpaceEstimate | null>;
  /** Runs work that should not be cut in two by a change of the schema. */
  during<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Runs work under a lock, waiting for it. */
export async function withLock<T>(
  locks: StoreLocks,
  name: string,
  mode: LockRequest['mode'],
  work: (lock: HeldLock) => Promise<T>,
): Promise<T> {
  const { lock } = await locks.acquire(name, { mode, wait: true });
  if (lock === null) throw new Error(`The lock ${name} was not given.`);
  try {
    return await work(lock);
  } finally {
    await lock.release();
  }
}

/** Who saves and who renames shares it; who sweeps has it alone. Always taken before `RECORDS_LOCK`. */
export const GC_LOCK = 'gc';
/** Held for the moment in which records are read and changed. */
export const RECORDS_LOCK = 'records';
/** Held by whoever adds checkpoints to a run. */
export const runLock = (runId: string): string => `run-${runId}`;

/** Reads the records and changes them with nobody in between; `decide` returns null when there is nothing to do. */
export async function changeRecords(
  backend: StoreBackend,
  decide: (contents: StoreContents) => RecordChange | null,
): Promise<void> {
  await withLock(backend.locks, RECORDS_LOCK, 'exclusive', async () => {
    const change = decide(await backend.contents());
    if (change !== null) await backend.apply(change);
  });
}
