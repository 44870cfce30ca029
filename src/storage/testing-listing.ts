/** How long a store with a thousand checkpoints takes to open and list, against one with none. */
import { changeRecords } from './backend.ts';
import { openCheckpointStore } from './open-store.ts';
import type { CheckpointRecord } from './records.ts';
import { openRun, SMALL, testCheckpoint, type TestHome } from './testing-store.ts';

async function median(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[2] ?? 0;
}

/** Milliseconds to list, from a connection that is open and from a new one. */
async function timeHome(home: TestHome): Promise<{ listMs: number; openMs: number; total: number }> {
  const store = await openCheckpointStore(await home.backend(), SMALL);
  const listMs = await median(() => store.list());
  const openMs = await median(async () => {
    const backend = await home.backend();
    await backend.contents();
    await backend.close();
  });
  const { total } = await store.list();
  return { listMs, openMs, total };
}

/** The figures of an empty store and of one with a thousand checkpoints, each with some twenty chunks. */
export async function timeListing(empty: TestHome, full: TestHome) {
  await (await openRun(empty)).store.close();
  const { backend, store, writer } = await openRun(full);
  const { checkpoint } = await writer.save(testCheckpoint(1, {}, 6000));
  const copies = Array.from({ length: 999 }, (_, i): CheckpointRecord => {
    const id = `copy-${String(i)}`;
    return { ...checkpoint, id, name: id, sequence: i + 2, step: i };
  });
  await changeRecords(backend, () => ({ checkpoints: copies }));
  await store.close();
  return { empty: await timeHome(empty), full: await timeHome(full) };
}
