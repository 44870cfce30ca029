/**
 * The store of checkpoints: runs, their checkpoints, and the bytes of those. One interface over two homes, IndexedDB in
 * a browser and a folder in Node; what is promised (commit.ts, collect.ts, retention.ts) is the same in both.
 */
import type { SpaceEstimate, StoreBackend } from './backend.ts';
import type { BinRule, RemoveOptions } from './bin.ts';
import type { SweepResult } from './collect.ts';
import type { SaveOptions, SaveResult } from './commit.ts';
import type { CheckpointPage, Lineage, ListQuery, StoreSizes } from './list.ts';
import type { CheckpointChanges, NewCheckpoint } from './new-checkpoint.ts';
import type { CheckpointRecord, RunRecord, Tombstone } from './records.ts';
import type { RetentionPlan, RetentionPolicy } from './retention.ts';
import type { StartReport, StoreSentinel } from './start.ts';
import type { PartDecoder, StoredCheckpoint } from './stored-files.ts';
import type { VerifyOptions } from './verify.ts';

export interface StoreOptions {
  /** Milliseconds since 1970; default the clock. */
  now?: () => number;
  /** At most 8 MiB, the default. */
  chunkBytes?: number;
  binRule?: BinRule;
  /** For parts that are not stored as they are, by the name of their encoding. */
  decoders?: ReadonlyMap<string, PartDecoder>;
  sentinel?: StoreSentinel;
}

export interface NewRun {
  name: string;
  baseId?: string | null;
  settings?: RunRecord['settings'];
  metadata?: Readonly<Record<string, string>>;
  note?: string;
  /** For a run that comes from elsewhere; default a new id. */
  id?: string;
}

export type RunChanges = Partial<Pick<RunRecord, 'name' | 'settings' | 'metadata' | 'note'>>;

/** The right to add checkpoints to a run, as long as it is not released. */
export interface RunWriter {
  readonly writable: true;
  readonly runId: string;
  /** One after the other, in the order of the calls. */
  save(input: NewCheckpoint, options?: SaveOptions): Promise<SaveResult>;
  /** Waits for saves in progress. */
  release(): Promise<void>;
}

/** The run is being written elsewhere; `reason` says where. */
export interface ReadOnlyRun {
  readonly writable: false;
  readonly runId: string;
  readonly reason: string;
}

export interface LatestAnswer {
  /** The newest that passed its hashes just now; null when the run has none. */
  checkpoint: CheckpointRecord | null;
  /** Newer ones that were found damaged and are marked so. */
  damaged: CheckpointRecord[];
}

export interface CheckpointStore {
  readonly home: StoreBackend['home'];
  readonly label: string;
  /** What was found when it was opened. */
  readonly start: StartReport;

  createRun(run: NewRun): Promise<RunRecord>;
  /** Newest first. */
  runs(): Promise<RunRecord[]>;
  /** By id, or by a name that only one run has. */
  findRun(idOrName: string): Promise<RunRecord>;
  updateRun(id: string, changes: RunChanges): Promise<RunRecord>;
  /** Its checkpoints go to the bin, from where they bring the run back. */
  removeRun(id: string): Promise<void>;
  /** Takes the writer's lock; with `wait`, once it is free. */
  openRun(id: string, options?: { wait?: boolean; signal?: AbortSignal }): Promise<RunWriter | ReadOnlyRun>;

  list(query?: ListQuery): Promise<CheckpointPage>;
  get(id: string): Promise<CheckpointRecord>;
  find(runId: string, name: string): Promise<CheckpointRecord>;
  lineage(id: string): Promise<Lineage>;
  sizes(): Promise<StoreSizes>;
  estimate(): Promise<SpaceEstimate | null>;

  /** The files of a checkpoint. Each byte is checked as it is read; one that is known to be damaged is refused. */
  open(id: string): Promise<StoredCheckpoint>;
  /** The checkpoint to go on from: hashes are checked now, damaged ones marked and passed over. */
  latest(runId: string, options?: VerifyOptions): Promise<LatestAnswer>;
  /** The sound checkpoint with the best value of a metric; null when none has it. */
  best(runId: string, metric: string, direction: 'min' | 'max'): Promise<CheckpointRecord | null>;
  /** Reads all bytes back and marks the checkpoint by what is found. */
  verify(id: string, options?: VerifyOptions): Promise<CheckpointRecord>;
  update(id: string, changes: CheckpointChanges): Promise<CheckpointRecord>;

  remove(ids: readonly string[], options?: RemoveOptions): Promise<void>;
  restore(ids: readonly string[]): Promise<void>;
  /** What can be restored, last deleted first. */
  bin(): Promise<Tombstone[]>;
  /** For good: these, or what the rule says, or everything. Frees the bytes. */
  emptyBin(which: readonly string[] | 'due' | 'all'): Promise<SweepResult>;
  /** What a policy would take away now, and what would stay and why. Changes nothing. */
  planPrune(runId: string, policy: RetentionPolicy): Promise<RetentionPlan>;
  /** Carries such a plan out, computed anew from what is there. */
  prune(runId: string, policy: RetentionPolicy): Promise<RetentionPlan>;
  collectGarbage(): Promise<SweepResult>;
  close(): Promise<void>;
}
