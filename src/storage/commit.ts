/**
 * How a checkpoint is saved, in one place for all homes: stage, journal, missing chunks, one commit, read back. Up to
 * the commit nothing is visible and a crash leaves only what the next start sweeps; from it on the checkpoint is whole.
 */
import { StudioError } from '../errors.ts';
import {
  changeRecords,
  GC_LOCK,
  RECORDS_LOCK,
  withLock,
  type HeldLock,
  type StoreBackend,
  type StoredChunk,
} from './backend.ts';
import { collectGarbage } from './collect.ts';
import { checkAgainst, placeIn } from './commit-checks.ts';
import { isStoreFull, spaceError } from './full.ts';
import { checkNewCheckpoint, type NewCheckpoint } from './new-checkpoint.ts';
import { prepareCheckpoint } from './prepare.ts';
import { bytesIn, checkSpace, chunksToWrite, putInBatches } from './put-chunks.ts';
import { RECORD_VERSION, type CheckpointRecord, type Tombstone } from './records.ts';
import { throwIfCancelled } from './stage.ts';
import { damagedError, findDamage, noteVerification } from './verify.ts';

export type SavePhase = 'copied' | 'staged' | 'stored' | 'committed' | 'verified';

export interface SaveOptions {
  signal?: AbortSignal;
  /** Told as each phase ends. From `copied` on the caller's buffers are free again, and training may go on. */
  onPhase?: (phase: SavePhase) => void;
  /** Read everything back before the save is over; default true. */
  verify?: boolean;
}

export interface SaveResult {
  checkpoint: CheckpointRecord;
  /** What was written; the rest was there already. */
  writtenBytes: number;
  /** Milliseconds from the start to the end of each phase. */
  times: Partial<Record<SavePhase, number>>;
}

export interface CommitContext {
  backend: StoreBackend;
  /** Milliseconds since 1970. */
  now: () => number;
  newId: () => string;
  chunkBytes: number;
}

const isoTime = ({ now }: CommitContext): string => new Date(now()).toISOString();

function lockLost(run: string, name: string): StudioError {
  return new StudioError({
    code: 'STORE_LOCKED',
    message: `The lock on the run ${run} was taken away, so ${name} was not saved.`,
    fix: 'Open the run again for writing.',
  });
}

function replacedBy(checkpoint: CheckpointRecord, deletedAt: string): Tombstone {
  return { version: RECORD_VERSION, id: checkpoint.id, deletedAt, reason: 'replaced', checkpoint };
}

/** The commit: the record becomes visible in one step, and the one that it replaces goes. */
async function commitRecord(
  context: CommitContext,
  record: CheckpointRecord,
  input: NewCheckpoint,
  lock: HeldLock,
): Promise<CheckpointRecord> {
  let committed = record;
  await changeRecords(context.backend, (contents) => {
    const { run, replaced } = checkAgainst(contents, record.runId, input);
    if (!lock.held()) throw lockLost(run.name, input.name);
    const updatedAt = isoTime(context);
    const sequence = placeIn(contents, run, input);
    committed = { ...record, sequence, replaces: replaced?.id ?? null };
    return {
      runs: [{ ...run, lastSequence: Math.max(run.lastSequence, sequence), updatedAt }],
      checkpoints: [committed],
      binned: replaced === null ? [] : [replacedBy(replaced, updatedAt)],
      journalsDone: [record.id],
    };
  });
  return committed;
}

/**
 * Reads everything back; what came back wrong is written once more while it is still in memory. The checkpoint is
 * committed by now: when the reading itself fails it stays, unverified.
 */
async function verifySaved(
  context: CommitContext,
  record: CheckpointRecord,
  chunks: ReadonlyMap<string, StoredChunk>,
): Promise<CheckpointRecord> {
  const { backend } = context;
  const check = async (): Promise<string | null> => {
    const problem = await findDamage(backend, record);
    if (problem === null) return null;
    await putInBatches(backend, await chunksToWrite(backend, chunks.values()));
    return findDamage(backend, record);
  };
  let problem: string | null = null;
  let noted: CheckpointRecord | null = null;
  try {
    problem = await check();
    noted = await noteVerification(backend, record.id, problem, isoTime(context));
  } catch {
    // Not verified; a later verification makes up for it.
  }
  if (problem !== null) throw damagedError(record, problem);
  return noted ?? record;
}

/** Takes back what an unfinished save wrote, unless another save may count on the same chunks right now. */
async function takeBack(backend: StoreBackend, id: string): Promise<void> {
  try {
    await withLock(backend.locks, RECORDS_LOCK, 'exclusive', () => backend.apply({ journalsDone: [id] }));
    await collectGarbage(backend, { wait: false });
  } catch {
    // The next start sweeps it; the error of the save is the one that counts.
  }
}

/**
 * Saves a checkpoint of a run whose writer's lock is held. Resolves once it is committed (and read back); when it
 * rejects, nothing of it is listed, unless the read-back failed: then it is listed as damaged.
 */
export function saveCheckpoint(
  context: CommitContext,
  runId: string,
  input: NewCheckpoint,
  lock: HeldLock,
  options: SaveOptions = {},
): Promise<SaveResult> {
  return context.backend.during(() => save(context, runId, input, lock, options));
}

async function save(
  context: CommitContext,
  runId: string,
  input: NewCheckpoint,
  lock: HeldLock,
  options: SaveOptions,
): Promise<SaveResult> {
  const { backend, chunkBytes } = context;
  const { signal } = options;
  const start = performance.now();
  const times: SaveResult['times'] = {};
  const ended = (phase: SavePhase): void => {
    times[phase] = performance.now() - start;
    options.onPhase?.(phase);
  };
  checkNewCheckpoint(input);
  checkAgainst(await backend.contents(), runId, input);
  const { record, chunks } = await prepareCheckpoint(input, {
    runId,
    id: context.newId(),
    now: context.now(),
    chunkBytes,
    newHash: () => backend.newHash(),
    signal,
    onCopied: () => ended('copied'),
  });
  ended('staged');
  let missing: StoredChunk[] = [];
  let committed: CheckpointRecord | null = null;
  const write = async (): Promise<CheckpointRecord> => {
    missing = await chunksToWrite(backend, chunks.values());
    await checkSpace(backend, bytesIn(missing));
    throwIfCancelled(signal, 'Saving');
    await backend.putJournal({
      version: RECORD_VERSION,
      id: record.id,
      runId,
      name: input.name,
      startedAt: isoTime(context),
      chunks: missing.map(({ sha256, bytes }) => ({ sha256, size: bytes.byteLength })),
    });
    await putInBatches(backend, missing, signal);
    ended('stored');
    throwIfCancelled(signal, 'Saving');
    committed = await commitRecord(context, record, input, lock);
    ended('committed');
    if (options.verify === false) return committed;
    const verified = await verifySaved(context, committed, chunks);
    ended('verified');
    return verified;
  };
  try {
    const checkpoint = await withLock(backend.locks, GC_LOCK, 'shared', write);
    return { checkpoint, writtenBytes: bytesIn(missing), times };
  } catch (error) {
    if (committed !== null) throw error;
    await takeBack(backend, record.id);
    if (!isStoreFull(error)) throw error;
    const neededBytes = bytesIn(missing);
    throw await spaceError(backend, { name: input.name, runId, neededBytes, cause: error });
  }
}
