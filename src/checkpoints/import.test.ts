import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { archiveEntries, toTarGz } from '../formats/archive-write.ts';
import { bytesSource, type ByteSource } from '../formats/bytes.ts';
import { textEntry, type FileEntry } from '../formats/file-entry.ts';
import { memoryFileSet, type FileSet } from '../formats/file-set.ts';
import { fromStream } from '../formats/streams.ts';
import { tarOfEntries, testExport } from '../formats/testing-export.ts';
import { exported, filesOf, adapter as trainerAdapter } from '../formats/testing-hf.ts';
import { adapterFiles } from '../formats/testing-adapter.ts';
import { testState } from '../formats/testing-state.ts';
import { codeOf, collect } from '../formats/testing.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { openFolderBackend } from '../storage/folder-backend.ts';
import { looseChunks } from '../storage/testing-store.ts';
import { exportEntries } from './export-checkpoint.ts';
import { importCheckpoint } from './import-checkpoint.ts';
import { peek } from './peek.ts';
import { temporaryStore } from './testing-run.ts';
import { saveInto, wholeCheckpoint } from './testing-stored.ts';

let store: CheckpointStore;
let folder: string;
/** Files of a whole checkpoint that another store exported. */
let whole: FileEntry[];
const removals: (() => Promise<void>)[] = [];

async function freshStore(): Promise<CheckpointStore> {
  const made = await temporaryStore();
  removals.push(made.remove);
  folder = made.folder;
  return made.store;
}

beforeAll(async () => {
  const elsewhere = await freshStore();
  const [saved] = await saveInto(elsewhere, 'pirates', [await wholeCheckpoint()]);
  whole = await exportEntries(await elsewhere.open(saved?.id ?? ''), { kind: 'full' });
});
beforeEach(async () => {
  store = await freshStore();
});
afterAll(async () => {
  for (const remove of removals) await remove();
});

const gzipped = async (entries: readonly FileEntry[]): Promise<ByteSource> =>
  bytesSource('checkpoint.tar.gz', await collect(fromStream(toTarGz(entries))));

async function folderOf(entries: readonly FileEntry[], prefix = ''): Promise<FileSet> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const entry of entries) files.set(prefix + entry.path, await collect(entry.chunks()));
  return memoryFileSet('dropped', files);
}

/** No run, no checkpoint, no chunk, nothing in the bin and nothing unfinished. */
async function expectNothing(): Promise<void> {
  const backend = await openFolderBackend(folder);
  const { runs, checkpoints, tombstones, journals } = await backend.contents();
  expect({ runs, checkpoints, tombstones, journals }).toEqual({
    runs: [],
    checkpoints: [],
    tombstones: [],
    journals: [],
  });
  expect(await looseChunks(backend)).toEqual({ orphans: 0, missing: 0 });
}

describe('an import that does not come to its end leaves nothing', () => {
  test('91: cancelled at any of the points where it can be', async () => {
    const archive = await gzipped(whole);
    const points: number[] = [];
    const other = await freshStore();
    await importCheckpoint(other, archive, { onProgress: (done) => points.push(done) });
    store = await freshStore();
    expect(points.length).toBeGreaterThan(5);
    expect(points).toEqual([...points].sort((a, b) => a - b));
    for (let after = 0; after <= points.length; after++) {
      const stop = new AbortController();
      let told = 0;
      if (after === 0) stop.abort();
      const onProgress = (): void => {
        if (++told >= after) stop.abort();
      };
      const code = await codeOf(() => importCheckpoint(store, archive, { signal: stop.signal, onProgress }));
      expect(code, `after ${String(after)}`).toBe('CANCELLED');
      await expectNothing();
    }
  });

  test('a source that fails while it is read for the second or third time', async () => {
    const tar = bytesSource('whole.tar', await tarOfEntries(whole));
    let reads = 0;
    const counting: ByteSource = {
      ...tar,
      read: (start, end) => {
        reads++;
        return tar.read(start, end);
      },
    };
    await importCheckpoint(await freshStore(), counting);
    store = await freshStore();
    const all = reads;
    for (let failing = 1; failing <= all; failing++) {
      reads = 0;
      const broken: ByteSource = {
        ...tar,
        read: (start, end) =>
          ++reads === failing ? Promise.reject(new Error('the disk is gone')) : tar.read(start, end),
      };
      await expect(importCheckpoint(store, broken)).rejects.toThrow('the disk is gone');
      await expectNothing();
    }
  });

  test('a part of the state that is broken, and a name that is none', async () => {
    const without = whole.filter(({ path }) => path !== 'state/optimizer.safetensors');
    expect(await codeOf(async () => importCheckpoint(store, await gzipped(without)))).toBe('ARCHIVE_INVALID');
    await expectNothing();
    expect(await codeOf(async () => importCheckpoint(store, await gzipped(whole), { name: 'a/b' }))).toBe(
      'CHECKPOINT_NAME',
    );
    await expectNothing();
  });

  test('a file that no adapter of this size has beside it', async () => {
    const files = new Map([...(await adapterFiles(trainerAdapter)), ...(await filesOf())]);
    files.delete('optimizer.pt');
    const entries = Array.from(files, ([path, bytes]) => ({
      path,
      size: bytes.byteLength,
      chunks: () => [bytes],
    }));
    const large: FileEntry = {
      path: 'optimizer.pt',
      size: 80 * 2 ** 20,
      *chunks() {
        for (let i = 0; i < 80; i++) yield new Uint8Array(2 ** 20);
      },
    };
    const code = await codeOf(async () => importCheckpoint(store, await gzipped([...entries, large])));
    expect(code).toBe('INPUT_TOO_LARGE');
    await expectNothing();
  });
});

describe('where an import lies makes no difference', () => {
  test('a folder, a folder in a folder, a tar and a tar.gz are the same checkpoint', async () => {
    const { checkpoint } = await importCheckpoint(store, await folderOf(whole));
    const inputs = [
      await folderOf(whole, 'pirates/'),
      bytesSource('x.tar', await tarOfEntries(whole)),
      await gzipped(whole),
    ];
    for (const input of inputs) {
      expect(await importCheckpoint(store, input)).toMatchObject({
        alreadyThere: true,
        checkpoint: { id: checkpoint.id },
      });
    }
    const back = await exportEntries(await store.open(checkpoint.id), { kind: 'full' });
    expect(await tarOfEntries(back)).toEqual(await tarOfEntries(whole));
  });

  test('a Trainer checkpoint keeps what it is resumed from, and nothing that is code', async () => {
    const files = new Map([...(await adapterFiles(trainerAdapter)), ...(await filesOf(exported()))]);
    files.set('training_args.bin', new Uint8Array(8));
    files.set('rng_state.pth', new Uint8Array(8));
    const { checkpoint, notes } = await importCheckpoint(store, memoryFileSet('checkpoint-10', files));
    expect(checkpoint).toMatchObject({ kind: 'hf-trainer', step: 10, about: null, name: 'checkpoint-10' });
    expect(checkpoint.parts.map(({ path }) => path)).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'optimizer.pt',
      'scheduler.pt',
      'trainer_state.json',
    ]);
    expect(notes.join(' ')).toMatch(/training_args\.bin is ignored.*rng_state\.pth is ignored/);
  });

  test('the state of another program is refused by name; its weights alone are taken when asked', async () => {
    const files = new Map([...(await adapterFiles(trainerAdapter)), ['optimizer.bin', new Uint8Array(8)]]);
    const accelerate = memoryFileSet('state', files);
    expect(await codeOf(() => importCheckpoint(store, accelerate))).toBe('STATE_UNSUPPORTED');
    await expectNothing();
    const { checkpoint, notes } = await importCheckpoint(store, accelerate, { weightsOnly: true });
    expect(checkpoint).toMatchObject({ kind: 'sampler', step: 0 });
    expect(checkpoint.parts).toHaveLength(2);
    expect(notes.join(' ')).toContain('left out, as asked');
  });
});

test('a checkpoint of a run that has gone further says which one is gone on from', async () => {
  const archive = await gzipped(whole);
  const { run, notes } = await importCheckpoint(store, archive);
  expect(notes).toEqual([]);
  const writer = await store.openRun(run.id);
  if (!writer.writable) throw new Error(writer.reason);
  const { rng } = testState(trainerAdapter);
  const later = { step: 12, rng: { ...rng, counters: { step: 12, micro: 0 } } };
  const { scheduler, optimizer } = testState(trainerAdapter);
  await writer.save(
    await wholeCheckpoint({ name: 'later', step: 12 }, 1, {
      ...later,
      scheduler: scheduler === null ? null : { ...scheduler, position: 12 },
      optimizer: { ...optimizer, step: 12 },
    }),
  );
  await writer.release();
  const [first] = (await store.list({ runId: run.id })).items.filter(({ step }) => step === 10);
  await store.remove([first?.id ?? '']);
  const again = await importCheckpoint(store, archive);
  expect(again.run.id).toBe(run.id);
  expect(again.notes.join(' ')).toContain(`gone on to step 12 (later)`);
});

test('a damaged archive is refused with nothing stored, or holds the same content', async () => {
  const packed = await collect(fromStream(toTarGz(whole)));
  const damage = fc.oneof(
    fc.record({ cut: fc.nat(packed.byteLength - 1) }),
    fc.record({ at: fc.nat(packed.byteLength - 1), bit: fc.nat(7) }),
  );
  await fc.assert(
    fc.asyncProperty(damage, async (how) => {
      const bytes = 'cut' in how ? packed.slice(0, how.cut) : packed.slice();
      if ('at' in how) bytes[how.at] = (bytes[how.at] ?? 0) ^ (1 << how.bit);
      const source = bytesSource('damaged.tar.gz', bytes);
      const look = await peek(source, null);
      const code = await codeOf(() => importCheckpoint(store, source));
      expect(look.error === null, JSON.stringify(look.error)).toBe(code === 'no error');
      if (code !== 'no error') return expectNothing();
      const [record] = (await store.list()).items;
      const back = await exportEntries(await store.open(record?.id ?? ''), { kind: 'full' });
      expect(await tarOfEntries(back)).toEqual(await tarOfEntries(whole));
      store = await freshStore();
    }),
    { numRuns: 60 },
  );
}, 60_000);

test('a damaged copy in the store is replaced by the same content, with its tags and its pin', async () => {
  const archive = await gzipped(whole);
  const { checkpoint } = await importCheckpoint(store, archive);
  await store.update(checkpoint.id, { tags: ['mine'], pinned: true, note: 'keep' });
  const weights = checkpoint.parts.find(({ path }) => path === 'adapter_model.safetensors')?.sha256 ?? '';
  const all = await readdir(folder, { recursive: true });
  const path = join(folder, all.find((name) => name.endsWith(weights)) ?? '');
  const bytes = await readFile(path);
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  await writeFile(path, bytes);
  const again = await importCheckpoint(store, archive);
  expect(again).toMatchObject({ alreadyThere: false, checkpoint: { name: checkpoint.name, damage: null } });
  expect(again.checkpoint).toMatchObject({ tags: ['mine'], pinned: true, note: 'keep' });
  expect(again.notes.join(' ')).toContain('damaged');
  expect((await store.verify(again.checkpoint.id)).damage).toBe(null);
  expect((await store.list()).total).toBe(1);
});

test('an archive without a manifest that changed between two readings is refused', async () => {
  const plain = (await archiveEntries(testExport())).filter(({ path }) => path !== 'checkpoint.json');
  const first = bytesSource('x.tar', await tarOfEntries(plain));
  const second = bytesSource('x.tar', await tarOfEntries([textEntry('other', 'x'), ...plain]));
  let reads = 0;
  const changing: ByteSource = {
    name: 'x.tar',
    size: second.size,
    read: async (start, end) => {
      const from = ++reads > 2 ? second : first;
      const bytes = new Uint8Array(end - start);
      bytes.set(await from.read(start, Math.min(end, from.size)));
      return bytes;
    },
  };
  expect(await codeOf(() => importCheckpoint(store, changing))).toBe('FILE_UNREADABLE');
  await expectNothing();
});
