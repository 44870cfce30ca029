/** Opens the store over a home. */
import { StudioError } from '../errors.ts';
import { ulid } from '../formats/ulid.ts';
import { changeRecords, RECORDS_LOCK, runLock, withLock, type StoreBackend } from './backend.ts';
import { DEFAULT_BIN_RULE, dueInBin, emptying, removal, restoration } from './bin.ts';
import type { CheckpointStore, LatestAnswer, NewRun, RunWriter, StoreOptions } from './checkpoint-store.ts';
import { collectGarbage, type SweepResult } from './collect.ts';
import { checkpointOf, runOf } from './commit-checks.ts';
import type { CommitContext } from './commit.ts';
import { lineageOf, listCheckpoints, sizesOf } from './list.ts';
import {
  MAX_CHUNK_BYTES,
  RECORD_VERSION,
  type CheckpointRecord,
  type RunRecord,
  type StoreContents,
} from './records.ts';
import { updateCheckpoint } from './rename.ts';
import { bestOf, planRetention, type RetentionPlan, type RetentionPolicy } from './retention.ts';
import { openRunWriter } from './run-writer.ts';
import { startStore, writeSentinel } from './start.ts';
import { storedCheckpoint } from './stored-files.ts';
import { damagedError, resumeOrder, verifyCheckpoint, type VerifyOptions } from './verify.ts';

function newRun(run: NewRun, id: string, now: number): RunRecord {
  const createdAt = new Date(now).toISOString();
  return {
    version: RECORD_VERSION,
    id,
    name: run.name,
    createdAt,
    updatedAt: createdAt,
    removedAt: null,
    lastSequence: 0,
    baseId: run.baseId ?? null,
    settings: run.settings ?? {},
    metadata: { ...run.metadata },
    note: run.note ?? '',
  };
}

function findRun(runs: readonly RunRecord[], idOrName: string): RunRecord {
  const there = runs.filter(({ removedAt }) => removedAt === null);
  const byId = there.find(({ id }) => id === idOrName);
  const named = there.filter(({ name }) => name === idOrName);
  const found = byId ?? (named.length === 1 ? named[0] : undefined);
  if (found !== undefined) return found;
  throw new StudioError({
    code: 'RUN_NOT_FOUND',
    message:
      named.length > 1
        ? `${String(named.length)} runs are called ${idOrName}: ${named.map(({ id }) => id).join(', ')}.`
        : `There is no run ${idOrName} in the store.`,
    fix: named.length > 1 ? 'Use the id of one of them.' : 'List the runs and choose one of them.',
  });
}

/** What a prune takes away, by the records as they are; in the order of saving. */
function planFor(
  contents: StoreContents,
  runId: string,
  policy: RetentionPolicy,
  now: number,
): RetentionPlan {
  runOf(contents, runId);
  const own = contents.checkpoints
    .filter((checkpoint) => checkpoint.runId === runId)
    .sort((a, b) => a.sequence - b.sequence);
  const others = contents.checkpoints.filter((checkpoint) => checkpoint.runId !== runId);
  return planRetention(own, policy, now, others);
}

/** Opens a store: clears up after whoever wrote last, marks what is damaged, and hands the store out. */
export async function openCheckpointStore(
  backend: StoreBackend,
  options: StoreOptions = {},
): Promise<CheckpointStore> {
  const { binRule = DEFAULT_BIN_RULE, sentinel, decoders = new Map() } = options;
  const now = options.now ?? Date.now;
  const context: CommitContext = {
    backend,
    now,
    newId: () => ulid(now(), crypto.getRandomValues(new Uint8Array(10))),
    chunkBytes: Math.min(options.chunkBytes ?? MAX_CHUNK_BYTES, MAX_CHUNK_BYTES),
  };
  const start = await startStore(backend, { now, binRule, sentinel });
  const writers = new Set<RunWriter>();

  const get = async (id: string): Promise<CheckpointRecord> => checkpointOf(await backend.contents(), id);
  const soundOf = async (runId: string): Promise<CheckpointRecord[]> => {
    const contents = await backend.contents();
    runOf(contents, runId);
    return contents.checkpoints.filter((other) => other.runId === runId && other.damage === null);
  };

  async function verify(id: string, verifyOptions?: VerifyOptions): Promise<CheckpointRecord> {
    const noted = await verifyCheckpoint(backend, await get(id), now, verifyOptions);
    return noted ?? get(id);
  }

  async function latest(runId: string, verifyOptions?: VerifyOptions): Promise<LatestAnswer> {
    const damaged: CheckpointRecord[] = [];
    const whole = (await soundOf(runId)).filter(({ kind }) => kind !== 'sampler');
    for (const candidate of resumeOrder(whole)) {
      const checkpoint = await verifyCheckpoint(backend, candidate, now, verifyOptions);
      if (checkpoint === null) continue;
      if (checkpoint.damage === null) return { checkpoint, damaged };
      damaged.push(checkpoint);
    }
    return { checkpoint: null, damaged };
  }

  async function changeRun(id: string, change: (run: RunRecord) => RunRecord): Promise<RunRecord> {
    let changed: RunRecord | null = null;
    await changeRecords(backend, (contents) => {
      changed = { ...change(runOf(contents, id)), updatedAt: new Date(now()).toISOString() };
      return { runs: [changed] };
    });
    return changed ?? runOf(await backend.contents(), id);
  }

  async function removeRun(runId: string): Promise<void> {
    const { lock } = await backend.locks.acquire(runLock(runId), { mode: 'exclusive', wait: false });
    if (lock === null) {
      throw new StudioError({
        code: 'STORE_LOCKED',
        message: `The run ${runId} is being written and cannot be deleted.`,
        fix: 'Stop the run first.',
      });
    }
    try {
      await changeRecords(backend, (contents) => {
        const run = runOf(contents, runId);
        const ids = contents.checkpoints.filter((other) => other.runId === runId).map(({ id }) => id);
        const removed = removal(contents, ids, now(), 'asked', { force: true });
        return { ...removed, runs: [{ ...run, removedAt: new Date(now()).toISOString() }] };
      });
    } finally {
      await lock.release();
    }
  }

  async function emptyBin(which: readonly string[] | 'due' | 'all'): Promise<SweepResult> {
    await changeRecords(backend, (contents) => {
      const all = new Set(contents.tombstones.map(({ id }) => id));
      if (which === 'all') return emptying(contents, all);
      return emptying(contents, which === 'due' ? dueInBin(contents, binRule, now()) : new Set(which));
    });
    return collectGarbage(backend, { wait: true });
  }

  async function prune(runId: string, policy: RetentionPolicy): Promise<RetentionPlan> {
    const plan = await withLock(backend.locks, RECORDS_LOCK, 'exclusive', async () => {
      const contents = await backend.contents();
      const planned = planFor(contents, runId, policy, now());
      const ids = planned.remove.map(({ checkpoint }) => checkpoint.id);
      // The plan holds back what is protected, also from a deletion of all of these at once.
      await backend.apply(removal(contents, ids, now(), 'retention', { force: true }));
      return planned;
    });
    await emptyBin('due');
    return plan;
  }

  return {
    home: backend.home,
    label: backend.label,
    start,
    createRun: async (fields) => {
      const run = newRun(fields, fields.id ?? context.newId(), now());
      await changeRecords(backend, ({ runs }) => {
        if (!runs.some(({ id }) => id === run.id)) return { runs: [run] };
        throw new StudioError({
          code: 'CHECKPOINT_EXISTS',
          message: `The store has a run ${run.id} already.`,
          fix: 'Use that run, or leave the id out.',
        });
      });
      return run;
    },
    runs: async () => {
      const { runs } = await backend.contents();
      const there = runs.filter(({ removedAt }) => removedAt === null);
      return there.sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
    },
    findRun: async (idOrName) => findRun((await backend.contents()).runs, idOrName),
    updateRun: (id, changes) => changeRun(id, (run) => ({ ...run, ...changes })),
    removeRun,
    openRun: async (runId, { wait = false, signal } = {}) => {
      const opened = await openRunWriter(context, runId, {
        wait,
        signal,
        onSaved: ({ name }) => {
          if (sentinel !== undefined) writeSentinel(backend, sentinel, name);
        },
        onRelease: (writer) => writers.delete(writer),
      });
      if (opened.writable) writers.add(opened);
      return opened;
    },

    list: async (query) => listCheckpoints((await backend.contents()).checkpoints, query),
    get,
    find: async (runId, name) => {
      const contents = await backend.contents();
      const run = runOf(contents, runId);
      const found = contents.checkpoints.find((other) => other.runId === runId && other.name === name);
      if (found !== undefined) return found;
      throw new StudioError({
        code: 'CHECKPOINT_NOT_FOUND',
        message: `The run ${run.name} has no checkpoint ${name}.`,
        fix: 'List the checkpoints of the run and choose one of them.',
      });
    },
    lineage: async (id) => {
      const contents = await backend.contents();
      return lineageOf(contents.checkpoints, checkpointOf(contents, id));
    },
    sizes: async () => sizesOf(await backend.contents()),
    estimate: () => backend.estimate(),

    open: async (id) => {
      const record = await get(id);
      if (record.damage !== null) throw damagedError(record, record.damage.problem);
      return storedCheckpoint(backend, record, decoders);
    },
    latest,
    best: async (runId, metric, direction) => bestOf(await soundOf(runId), metric, direction, 1)[0] ?? null,
    verify,
    update: (id, changes) => updateCheckpoint(context, id, changes),

    remove: (ids, removeOptions) =>
      changeRecords(backend, (contents) => removal(contents, ids, now(), 'asked', removeOptions)),
    restore: (ids) => changeRecords(backend, (contents) => restoration(contents, ids, now())),
    bin: async () => {
      const { tombstones } = await backend.contents();
      return tombstones.sort((a, b) => Date.parse(b.deletedAt) - Date.parse(a.deletedAt));
    },
    emptyBin,
    planPrune: async (runId, policy) => planFor(await backend.contents(), runId, policy, now()),
    prune,
    collectGarbage: () => collectGarbage(backend, { wait: true }),
    close: async () => {
      await Promise.all([...writers].map((writer) => writer.release()));
      await backend.close();
    },
  };
}
