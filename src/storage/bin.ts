/** The bin: what deletion may take, how it is undone, and the rule by which the bin empties. */
import { StudioError } from '../errors.ts';
import type { RecordChange } from './backend.ts';
import { checkNotBase, checkpointOf, nameTaken } from './commit-checks.ts';
import {
  bytesOnlyIn,
  RECORD_VERSION,
  type CheckpointRecord,
  type StoreContents,
  type Tombstone,
} from './records.ts';
import { protectedOnes } from './retention.ts';

export interface BinRule {
  /** How long what a person deleted can be brought back. */
  seconds: number;
  /** The same for what retention or overwriting took away. */
  automaticSeconds: number;
  /** Above this the oldest go first. */
  maxBytes: number;
}

export const DEFAULT_BIN_RULE: BinRule = {
  seconds: 7 * 24 * 3600,
  automaticSeconds: 3600,
  maxBytes: 2 * 10 ** 9,
};

function refuse(checkpoint: CheckpointRecord, why: string, fix: string): StudioError {
  return new StudioError({
    code: 'CHECKPOINT_PROTECTED',
    message: `${checkpoint.name} was not deleted: ${why}.`,
    fix,
  });
}

export interface RemoveOptions {
  /** Also what is pinned, the last good one, and what an unverified newer one rests on. Never the base of a delta. */
  force?: boolean;
  /** Not to the bin: nothing is written, so it works where nothing can be written any more. */
  forGood?: boolean;
}

/** Takes checkpoints off the list; all of them, or none when one may not go. */
export function removal(
  contents: StoreContents,
  ids: readonly string[],
  now: number,
  reason: Tombstone['reason'],
  options: RemoveOptions = {},
): RecordChange {
  const going = ids.map((id) => checkpointOf(contents, id));
  const staying = contents.checkpoints.filter((checkpoint) => !going.includes(checkpoint));
  const guarded = protectedOnes(contents.checkpoints);
  for (const checkpoint of going) {
    checkNotBase(staying, checkpoint);
    if (options.force === true) continue;
    const reasons = guarded.get(checkpoint) ?? new Set();
    if (reasons.has('pinned')) throw refuse(checkpoint, 'it is pinned', 'Unpin it first.');
    if (reasons.has('last-good')) {
      throw refuse(
        checkpoint,
        'it is the last good one of its run',
        'Delete it by force, or delete the whole run.',
      );
    }
    if (reasons.has('newer-unverified')) {
      throw refuse(
        checkpoint,
        'a newer one of the run is not verified',
        'Verify the newer one first, or delete this one by force.',
      );
    }
  }
  if (options.forGood === true) return { forgotten: [...ids] };
  return { binned: going.map((checkpoint) => tombstone(checkpoint, now, reason)) };
}

function tombstone(checkpoint: CheckpointRecord, now: number, reason: Tombstone['reason']): Tombstone {
  const deletedAt = new Date(now).toISOString();
  return { version: RECORD_VERSION, id: checkpoint.id, deletedAt, reason, checkpoint };
}

/** Brings checkpoints back from the bin, with their run where that was deleted too. */
export function restoration(contents: StoreContents, ids: readonly string[], now: number): RecordChange {
  const { checkpoints, tombstones, runs } = contents;
  const back = [...new Set(ids)].map((id) => {
    const found = tombstones.find((other) => other.id === id);
    if (found !== undefined) return found.checkpoint;
    throw new StudioError({
      code: 'CHECKPOINT_NOT_FOUND',
      message: `There is no checkpoint ${id} in the bin.`,
      fix: 'List the bin and choose one of its checkpoints.',
    });
  });
  const touched = new Set<string>();
  const there = [...checkpoints];
  for (const checkpoint of back) {
    const run = runs.find(({ id }) => id === checkpoint.runId);
    const taken = there.some(({ runId, name }) => runId === checkpoint.runId && name === checkpoint.name);
    if (run !== undefined && taken) throw nameTaken(checkpoint.name, run);
    const { delta } = checkpoint;
    if (delta !== null && ![...checkpoints, ...back].some(({ id }) => id === delta.baseId)) {
      throw new StudioError({
        code: 'CHECKPOINT_NOT_FOUND',
        message: `${checkpoint.name} is stored as its difference to ${delta.baseId}, which is not there.`,
        fix: 'Restore that one as well.',
      });
    }
    touched.add(checkpoint.runId);
    there.push(checkpoint);
  }
  const revived = runs.filter(({ id, removedAt }) => removedAt !== null && touched.has(id));
  // Time passed in the bin: what has expired meanwhile would go again at once.
  const restored = back.map((checkpoint) =>
    checkpoint.expiresAt !== null && Date.parse(checkpoint.expiresAt) <= now
      ? { ...checkpoint, expiresAt: null, ttlSeconds: null }
      : checkpoint,
  );
  return { runs: revived.map((run) => ({ ...run, removedAt: null })), checkpoints: restored };
}

/** Takes these out of the bin for good, but for bases whose deltas stay in it; deleted runs go with their last. */
export function emptying(contents: StoreContents, ids: ReadonlySet<string>): RecordChange {
  const kept = contents.tombstones.filter(({ id }) => !ids.has(id));
  const needed = new Set(kept.flatMap(({ checkpoint: { delta } }) => (delta === null ? [] : [delta.baseId])));
  const going = contents.tombstones.filter(({ id }) => ids.has(id) && !needed.has(id));
  const gone = new Set(going.map(({ id }) => id));
  const left = new Set([
    ...contents.checkpoints.map(({ runId }) => runId),
    ...contents.tombstones.filter(({ id }) => !gone.has(id)).map(({ checkpoint }) => checkpoint.runId),
  ]);
  const runs = contents.runs.filter(({ id, removedAt }) => removedAt !== null && !left.has(id));
  return { forgotten: [...gone], runsForgotten: runs.map(({ id }) => id) };
}

/** What the rule says should leave the bin by now. */
export function dueInBin(contents: StoreContents, rule: BinRule, now: number): Set<string> {
  const due = new Set<string>();
  const waiting: Tombstone[] = [];
  for (const binned of contents.tombstones) {
    const seconds = binned.reason === 'asked' ? rule.seconds : rule.automaticSeconds;
    if (Date.parse(binned.deletedAt) + seconds * 1000 <= now) due.add(binned.id);
    else waiting.push(binned);
  }
  waiting.sort((a, b) => Date.parse(b.deletedAt) - Date.parse(a.deletedAt));
  const bytes = (): number =>
    bytesOnlyIn(
      waiting.map(({ checkpoint }) => checkpoint),
      contents.checkpoints,
    );
  while (waiting.length > 0 && bytes() > rule.maxBytes) {
    const oldest = waiting.pop();
    if (oldest !== undefined) due.add(oldest.id);
  }
  return due;
}
