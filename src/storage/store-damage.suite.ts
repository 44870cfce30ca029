/** What every home of the store must do: find damage, fall back, and clear up after a crash. */
import type { StoreBackend } from './backend.ts';
import { openCheckpointStore } from './open-store.ts';
import { RECORD_VERSION, type CheckpointRecord } from './records.ts';
import {
  chunkOfPart,
  isTrue,
  openRun,
  refuses,
  same,
  sameContent,
  SMALL,
  testCheckpoint,
  type StoreCase,
} from './testing-store.ts';

const WEIGHTS = 'adapter_model.safetensors';

/** What can happen to a stored chunk, done behind the store's back. */
const DAMAGE: Record<string, (backend: StoreBackend, checkpoint: CheckpointRecord) => Promise<void>> = {
  'a flipped bit': async (backend, checkpoint) => {
    const sha256 = chunkOfPart(checkpoint, WEIGHTS, 1);
    const bytes = (await backend.readChunk(sha256))?.slice() ?? new Uint8Array(0);
    bytes[77] = (bytes[77] ?? 0) ^ 4;
    await backend.putChunks([{ sha256, bytes }]);
  },
  'a cut chunk': async (backend, checkpoint) => {
    const sha256 = chunkOfPart(checkpoint, WEIGHTS);
    const bytes = (await backend.readChunk(sha256))?.slice(0, 500) ?? new Uint8Array(0);
    await backend.putChunks([{ sha256, bytes }]);
  },
  'an empty chunk': async (backend, checkpoint) => {
    await backend.putChunks([{ sha256: chunkOfPart(checkpoint, WEIGHTS), bytes: new Uint8Array(0) }]);
  },
  'a missing chunk': async (backend, checkpoint) => {
    await backend.deleteChunks([chunkOfPart(checkpoint, WEIGHTS)]);
  },
  'two swapped chunks': async (backend, checkpoint) => {
    const [a, b] = [chunkOfPart(checkpoint, WEIGHTS, 0), chunkOfPart(checkpoint, WEIGHTS, 1)];
    const [bytesA, bytesB] = [await backend.readChunk(a), await backend.readChunk(b)];
    await backend.putChunks([
      { sha256: a, bytes: bytesB?.slice() ?? new Uint8Array(0) },
      { sha256: b, bytes: bytesA?.slice() ?? new Uint8Array(0) },
    ]);
  },
};

const damage: StoreCase[] = Object.entries(DAMAGE).map(([what, harm]) => ({
  name: `124: finds ${what}, marks the checkpoint, offers the newest good ancestor, and heals on the same content`,
  run: async (home) => {
    const { backend, store, runId, writer } = await openRun(home);
    const first = (await writer.save(testCheckpoint(1))).checkpoint;
    // A side branch from the first, saved before the one that breaks.
    await writer.save(testCheckpoint(2, { parentId: first.id, name: 'side' }));
    const parent = (await writer.save(testCheckpoint(3, { parentId: first.id }))).checkpoint;
    const newest = (await writer.save(testCheckpoint(4, { parentId: parent.id }))).checkpoint;
    await harm(backend, newest);
    await refuses('CHECKPOINT_DAMAGED', () => sameContent(store, newest.id, testCheckpoint(4).parts));
    const answer = await store.latest(runId);
    same([answer.checkpoint?.id, answer.damaged.map(({ id }) => id)], [parent.id, [newest.id]], 'the offer');
    const marked = await store.get(newest.id);
    isTrue(marked.damage !== null && marked.verifiedAt === null, 'it is marked');
    await refuses('CHECKPOINT_DAMAGED', () => store.open(newest.id));
    same((await store.list({ damaged: true })).items, [marked]);
    await harm(backend, parent);
    same((await store.latest(runId)).checkpoint?.id, first.id, 'its parent, not the side branch');
    // The same bytes come by again: the chunk is written anew, and the old checkpoint is whole.
    const again = await writer.save(testCheckpoint(4, { name: 'again' }));
    same(again.checkpoint.damage, null);
    const healed = await store.verify(newest.id);
    same([healed.damage, healed.verifiedAt !== null], [null, true]);
    await sameContent(store, newest.id, testCheckpoint(4).parts);
  },
}));

const starting: StoreCase[] = [
  {
    name: '124, 127: marks at the start what misses bytes, and sweeps what belongs to nobody',
    run: async (home) => {
      const { backend, store, runId, writer } = await openRun(home);
      const { checkpoint } = await writer.save(testCheckpoint(1));
      const second = (await writer.save(testCheckpoint(2))).checkpoint;
      await backend.deleteChunks([chunkOfPart(second, WEIGHTS)]);
      const orphan = { sha256: 'ab'.repeat(32), bytes: new Uint8Array(50) };
      await backend.putChunks([orphan]);
      const startedAt = new Date().toISOString();
      const chunks = [{ sha256: orphan.sha256, size: 50 }];
      await backend.putJournal({ version: 1, id: 'cut', runId, name: 'cut-off', startedAt, chunks });
      await store.close();
      const { start } = await openCheckpointStore(await home.backend(), SMALL);
      same(
        [start.swept.done, start.swept.chunks, start.swept.unfinished.map(({ name }) => name)],
        [true, 1, ['cut-off']],
      );
      same(start.swept.bytes, 50);
      same(
        start.damaged.map(({ id }) => id),
        [second.id],
      );
      const again = await openCheckpointStore(await home.backend(), SMALL);
      same([again.start.swept.chunks, again.start.swept.unfinished, again.start.damaged], [0, [], []]);
      same((await again.latest(runId)).checkpoint?.id, checkpoint.id);
    },
  },
  {
    name: '125: leaves records of a newer version alone, and everything that they may need',
    run: async (home) => {
      const { backend, store, writer } = await openRun(home);
      const { checkpoint } = await writer.save(testCheckpoint(1));
      const bytes = new Uint8Array(9);
      await backend.putChunks([{ sha256: 'cd'.repeat(32), bytes }]);
      const newer = { ...checkpoint, id: 'newer', name: 'newer', version: RECORD_VERSION + 1 };
      await backend.apply({ checkpoints: [newer as unknown as CheckpointRecord] });
      same((await store.list()).total, 1, 'it is not listed');
      same((await store.collectGarbage()).done, false);
      same((await backend.readChunk('cd'.repeat(32)))?.byteLength, 9);
      const { start } = await openCheckpointStore(await home.backend(), SMALL);
      same(start.unreadable.length, 1);
      isTrue(/newer version/.test(start.unreadable[0]?.problem ?? ''), 'it is named');
    },
  },
  {
    name: '129: tells a store that was wiped from one that is new',
    run: async (home) => {
      let text: string | null = null;
      const sentinel = { read: () => text, write: (next: string) => (text = next) };
      const { store, runId, writer } = await openRun(home, { ...SMALL, sentinel });
      same(store.start.lost, null);
      await writer.save(testCheckpoint(1));
      await store.close();
      const again = await openCheckpointStore(await home.backend(), { ...SMALL, sentinel });
      same([again.start.lost, (await again.list({ runId })).total], [null, 1]);
      text = 'another-store step-000900';
      const wiped = await openCheckpointStore(await home.backend(), { ...SMALL, sentinel });
      same(wiped.start.lost, { newest: 'step-000900' });
    },
  },
];

export const damageCases: StoreCase[] = [...damage, ...starting];
