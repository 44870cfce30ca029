/**
 * Mark and sweep. Whoever adds chunks shares the `gc` lock, so that holding it alone means: every journal is one of a
 * writer that is gone, and every chunk that no record names is nobody's.
 */
import { GC_LOCK, RECORDS_LOCK, withLock, type StoreBackend } from './backend.ts';
import { chunksOf, type Journal, type StoreContents } from './records.ts';

export interface SweepResult {
  /** False when another writer was at work, or a record could not be read; then nothing was removed. */
  done: boolean;
  /** Saves that never came to their commit. */
  unfinished: Journal[];
  chunks: number;
  /** Their bytes, as far as the home or the journals tell. */
  bytes: number;
}

const NOTHING: SweepResult = { done: false, unfinished: [], chunks: 0, bytes: 0 };

/** Whether a record is there that this version cannot read: it may need any chunk. */
function maySweep({ unreadable }: StoreContents): boolean {
  return unreadable.length === 0;
}

async function sweep(backend: StoreBackend): Promise<SweepResult> {
  const contents = await withLock(backend.locks, RECORDS_LOCK, 'exclusive', async () => {
    await backend.sweepTemporary();
    const found = await backend.contents();
    if (maySweep(found)) await backend.apply({ journalsDone: found.journals.map(({ id }) => id) });
    return found;
  });
  if (!maySweep(contents)) return NOTHING;
  const { checkpoints, tombstones, journals } = contents;
  const live = chunksOf([...checkpoints, ...tombstones.map(({ checkpoint }) => checkpoint)]);
  const announced = new Map(
    journals.flatMap(({ chunks }) => chunks.map(({ sha256, size }) => [sha256, size])),
  );
  const stored = await backend.listChunks();
  const orphans = [...stored.keys()].filter((sha256) => !live.has(sha256));
  await backend.deleteChunks(orphans);
  const bytes = orphans.reduce((sum, sha256) => sum + (stored.get(sha256) ?? announced.get(sha256) ?? 0), 0);
  const saved = new Set([...checkpoints, ...tombstones].map(({ id }) => id));
  const unfinished = journals.filter(({ id }) => !saved.has(id));
  return { done: true, unfinished, chunks: orphans.length, bytes };
}

/** Removes what no record needs. With `wait`, saves in progress are waited for; without, they put it off. */
export async function collectGarbage(
  backend: StoreBackend,
  { wait }: { wait: boolean },
): Promise<SweepResult> {
  const { lock } = await backend.locks.acquire(GC_LOCK, { mode: 'exclusive', wait });
  if (lock === null) return NOTHING;
  try {
    return await sweep(backend);
  } finally {
    await lock.release();
  }
}
