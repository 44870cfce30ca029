/** What happens when a store is opened: leftovers go, damage is marked, and a store that was wiped is told from a new one. */
import { changeRecords, type StoreBackend } from './backend.ts';
import { dueInBin, emptying, type BinRule } from './bin.ts';
import { collectGarbage, type SweepResult } from './collect.ts';
import { isStoreFull } from './full.ts';
import type { CheckpointRecord, StoreContents } from './records.ts';
import { missingChunks } from './verify.ts';

/** A small text outside the store that outlives it (localStorage in the page). */
export interface StoreSentinel {
  read(): string | null;
  write(text: string): void;
}

export interface StartReport {
  /** Saves that were cut off by a crash or a closed tab, and what their bytes took up. */
  swept: SweepResult;
  /** Marked now, because bytes are missing. Changed bytes are found by verifying. */
  damaged: CheckpointRecord[];
  unreadable: StoreContents['unreadable'];
  /** The browser has thrown the store away since it was last open: what was its newest checkpoint. */
  lost: { newest: string | null } | null;
}

/** A full disk must not keep the store from opening: what is there can be read and deleted. */
async function whereThereIsRoom(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isStoreFull(error)) throw error;
  });
}

/** Marks those of the checkpoints whose chunks are not all there. The records must have been read before this. */
async function markMissing(
  backend: StoreBackend,
  checkpoints: readonly CheckpointRecord[],
  now: () => number,
): Promise<CheckpointRecord[]> {
  // A chunk of a checkpoint that was committed after the records were read need not be in the list.
  const stored = await backend.listChunks();
  const problems = new Map<string, string>();
  for (const checkpoint of checkpoints) {
    const problem = checkpoint.damage === null ? missingChunks(checkpoint, checkpoints, stored) : null;
    if (problem !== null) problems.set(checkpoint.id, problem);
  }
  if (problems.size === 0) return [];
  let marked: CheckpointRecord[] = [];
  const foundAt = new Date(now()).toISOString();
  await whereThereIsRoom(
    changeRecords(backend, (contents) => {
      marked = contents.checkpoints.flatMap((checkpoint) => {
        const problem = problems.get(checkpoint.id);
        return problem === undefined
          ? []
          : [{ ...checkpoint, verifiedAt: null, damage: { foundAt, problem } }];
      });
      return { checkpoints: marked };
    }),
  );
  return marked;
}

function wasLost(backend: StoreBackend, sentinel: StoreSentinel): StartReport['lost'] {
  const text = sentinel.read();
  if (text === null) return null;
  const [dbId, newest] = text.split(' ');
  return dbId === backend.meta.dbId ? null : { newest: newest ?? null };
}

/** Remembers outside the store that it exists, and its newest checkpoint. */
export function writeSentinel(backend: StoreBackend, sentinel: StoreSentinel, newest?: string): void {
  try {
    sentinel.write(newest === undefined ? backend.meta.dbId : `${backend.meta.dbId} ${newest}`);
  } catch {
    // Storage of the page may be full or forbidden; the store works without.
  }
}

/** Clears up after whoever wrote last. */
export async function startStore(
  backend: StoreBackend,
  options: { now: () => number; binRule: BinRule; sentinel?: StoreSentinel | undefined },
): Promise<StartReport> {
  const { now, binRule, sentinel } = options;
  const lost = sentinel === undefined ? null : wasLost(backend, sentinel);
  await whereThereIsRoom(
    changeRecords(backend, (contents) => {
      const change = emptying(contents, dueInBin(contents, binRule, now()));
      const nothing = (change.forgotten?.length ?? 0) + (change.runsForgotten?.length ?? 0) === 0;
      return nothing ? null : change;
    }),
  );
  const swept = await collectGarbage(backend, { wait: false });
  const { unreadable, checkpoints } = await backend.contents();
  const damaged = await markMissing(backend, checkpoints, now);
  const newest = checkpoints.reduce<CheckpointRecord | null>(
    (best, other) => (best === null || other.createdAt > best.createdAt ? other : best),
    null,
  );
  if (sentinel !== undefined) writeSentinel(backend, sentinel, newest?.name);
  return { swept, damaged, unreadable, lost };
}
