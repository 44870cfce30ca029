/** How long a store with a thousand checkpoints of 10 GB in all takes to open and list, against one with none. */
import { sha256Hex } from '../formats/sha256.ts';
import { changeRecords, type StoredChunk } from './backend.ts';
import { openCheckpointStore } from './open-store.ts';
import type { CheckpointRecord } from './records.ts';
import { openRun, testBytes, testCheckpoint, type TestHome } from './testing-store.ts';

const COUNT = 1000;
/** Of 10 MB each in some twenty pieces. */
const OPTIONS = { chunkBytes: 2 ** 19 };
const WEIGHT_BYTES = 3_400_000;

export interface ListingTimes {
  /** Milliseconds for the list alone, in a store that is open. */
  listMs: number;
  /** For a new connection and its first look at the records. */
  openMs: number;
  /** For a start with all that it clears up and checks, and the first list. */
  startMs: number;
  total: number;
  /** Of all checkpoints together, as the list says. */
  bytes: number;
}

/** The shortest of seven times: whatever else the machine does only adds to them. */
async function shortest(work: () => Promise<unknown>): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    await work();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

async function timeHome(home: TestHome): Promise<ListingTimes> {
  const store = await openCheckpointStore(await home.backend(), OPTIONS);
  const listMs = await shortest(() => store.list());
  const openMs = await shortest(async () => {
    const backend = await home.backend();
    await backend.contents();
    await backend.close();
  });
  const startMs = await shortest(async () => {
    const again = await openCheckpointStore(await home.backend(), OPTIONS);
    await again.list();
    await again.close();
  });
  const { total, items } = await store.list({ limit: 2 * COUNT, damaged: false });
  return { listMs, openMs, startMs, total, bytes: items.reduce((sum, { size }) => sum + size, 0) };
}

/**
 * The figures of an empty store and of a full one. Its checkpoints share their large pieces, which a list does not
 * read, and have one small piece each of their own, which a start looks for.
 */
export async function timeListing(
  empty: TestHome,
  full: TestHome,
): Promise<{ empty: ListingTimes; full: ListingTimes }> {
  await (await openRun(empty, OPTIONS)).store.close();
  const { backend, store, writer } = await openRun(full, OPTIONS);
  const { checkpoint } = await writer.save(testCheckpoint(1, {}, WEIGHT_BYTES));
  const own = Array.from({ length: COUNT - 1 }, (_, i): StoredChunk => {
    const bytes = testBytes(i, 100);
    return { sha256: sha256Hex(bytes), bytes };
  });
  await backend.putChunks(own);
  const copies = own.map(({ sha256 }, i): CheckpointRecord => {
    const id = `copy-${String(i)}`;
    const part = { path: 'own', size: 100, sha256, encoding: 'raw', chunks: [{ sha256, size: 100 }] };
    const { size, parts } = checkpoint;
    return {
      ...checkpoint,
      id,
      name: id,
      sequence: i + 2,
      step: i,
      size: size + 100,
      parts: [...parts, part],
    };
  });
  await changeRecords(backend, () => ({ checkpoints: copies }));
  await store.close();
  return { empty: await timeHome(empty), full: await timeHome(full) };
}
