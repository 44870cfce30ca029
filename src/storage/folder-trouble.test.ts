import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOf } from '../formats/testing.ts';
import { openFolderBackend } from './folder-backend.ts';
import { nodeFileOps, type FileOps } from './folder-files.ts';
import { openCheckpointStore } from './open-store.ts';
import { chunkOfPart, looseChunks, openRun, sameContent, SMALL, testCheckpoint } from './testing-store.ts';

let dir: string;
beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), 'lorikeet-store-')), 'store');
});
afterEach(() => rm(dirname(dir), { recursive: true, force: true }));

/** The real changes, of which the n-th (counted from `start`) fails as the system would. */
function failing(code: string, times = Infinity) {
  let count = -Infinity;
  let target = 0;
  let left = 0;
  const call = async (work: () => Promise<void>, fails: boolean): Promise<void> => {
    if (fails) {
      count += 1;
      if (count >= target && left > 0) {
        left -= 1;
        throw Object.assign(new Error(code), { code });
      }
    }
    await work();
  };
  // A full disk has no part in syncing names that are there.
  const syncFails = code !== 'ENOSPC';
  const files: FileOps = {
    writeNew: (path, bytes) => call(() => nodeFileOps.writeNew(path, bytes), true),
    rename: (from, to) => call(() => nodeFileOps.rename(from, to), true),
    remove: (path) => call(() => nodeFileOps.remove(path), false),
    makeFolder: (path) => call(() => nodeFileOps.makeFolder(path), true),
    syncFolder: (path) => call(() => nodeFileOps.syncFolder(path), syncFails),
  };
  return {
    files,
    startAt: (n: number) => {
      [count, target, left] = [0, n, times];
    },
    stop: () => {
      left = 0;
      return count;
    },
  };
}

/** Lets each change of a save fail in turn, and all after it; gives the codes that came of it. */
async function failEach(code: string): Promise<string[]> {
  const faults = failing(code);
  const home = { backend: () => openFolderBackend(dir, { files: faults.files }) };
  const { backend, store, runId, writer } = await openRun(home, { chunkBytes: 4096 });
  const good = (await writer.save(testCheckpoint(1))).checkpoint;
  faults.startAt(Infinity);
  await writer.save(testCheckpoint(2));
  const perSave = faults.stop();
  const codes: string[] = [];
  let listed = 2;
  for (let n = 1; n <= perSave; n++) {
    faults.startAt(n);
    const input = testCheckpoint(10 + n);
    const saved = await codeOf(() => writer.save(input));
    faults.stop();
    codes.push(saved);
    const { items } = await store.list({ runId });
    // From the commit on there is a whole checkpoint, even if not all of the tidying up was done.
    listed += saved === 'no error' ? 1 : 0;
    expect(items.some(({ name }) => name === input.name)).toBe(saved === 'no error');
    expect(items).toHaveLength(listed);
    for (const { id } of items.slice(0, 1)) expect((await store.verify(id)).damage).toBeNull();
    await sameContent(store, good.id, testCheckpoint(1).parts);
    await store.collectGarbage();
    expect(await looseChunks(backend)).toEqual({ orphans: 0, missing: 0 });
  }
  expect((await store.latest(runId)).checkpoint).not.toBeNull();
  await writer.save(testCheckpoint(999));
  await store.close();
  const { start } = await openCheckpointStore(await openFolderBackend(dir), SMALL);
  expect([start.damaged, start.unreadable, start.swept.chunks]).toEqual([[], [], 0]);
  for (const folder of ['tmp', 'journal']) expect(await readdir(join(dir, folder))).toEqual([]);
  return codes;
}

describe('a disk in trouble', () => {
  it('119: keeps the previous checkpoint when the disk is full at any change of a save', async () => {
    const codes = await failEach('ENOSPC');
    expect(new Set(codes)).toEqual(new Set(['STORE_FULL', 'no error']));
    expect(codes.lastIndexOf('STORE_FULL')).toBeGreaterThan(10);
  });

  it('122: keeps it when the disk fails at any change of a save', async () => {
    const codes = await failEach('EIO');
    expect(new Set(codes)).toEqual(new Set(['STORE_FAILED', 'no error']));
    expect(codes.lastIndexOf('STORE_FAILED')).toBeGreaterThan(20);
  });

  it('119: says so when the disk is full while a store is made, and opens one that is there', async () => {
    const faults = failing('ENOSPC');
    const open = () => openFolderBackend(dir, { files: faults.files });
    faults.startAt(Infinity);
    await open();
    const changes = faults.stop();
    expect(changes).toBeGreaterThan(6);
    for (let n = 1; n <= changes; n++) {
      await rm(dir, { recursive: true });
      faults.startAt(n);
      expect([n, await codeOf(open)]).toEqual([n, 'STORE_FULL']);
      faults.stop();
      // 125: what was made before it broke off is no store yet, and becomes one.
      const { store, writer } = await openRun({ backend: open });
      await writer.save(testCheckpoint(1));
      await store.close();
      expect(await readdir(join(dir, 'tmp'))).toEqual([]);
    }
    // Folders that are there need no room.
    const makeFolder: FileOps['makeFolder'] = (path) => nodeFileOps.makeFolder(path);
    faults.startAt(1);
    const backend = await openFolderBackend(dir, { files: { ...faults.files, makeFolder } });
    const full = await openCheckpointStore(backend, SMALL);
    const [first] = (await full.list()).items;
    await sameContent(full, first?.id ?? '', testCheckpoint(1).parts);
    expect(await codeOf(() => full.createRun({ name: 'more' }))).toBe('STORE_FULL');
    await full.close();
  });

  it('tries again what is busy for a moment', async () => {
    const faults = failing('EBUSY', 2);
    const { store, runId, writer } = await openRun({
      backend: () => openFolderBackend(dir, { files: faults.files }),
    });
    for (const n of [1, 5, 12, 20]) {
      faults.startAt(n);
      const { checkpoint } = await writer.save(testCheckpoint(n));
      expect(checkpoint.verifiedAt).not.toBeNull();
    }
    expect((await store.list({ runId })).total).toBe(4);
  });

  it('refuses at once what cannot fit, and says what takes the room', async () => {
    const real = await openFolderBackend(dir);
    const used = new Proxy(real, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (key === 'estimate') return () => Promise.resolve({ usage: 5e9, quota: 5e9 + 5000 });
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const { store, writer } = await openRun({ backend: () => Promise.resolve(used) });
    const error: unknown = await writer.save(testCheckpoint(1)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'STORE_FULL',
      message:
        'step-000001 was not saved: it needs 11.5 kB, and 5.0 kB are free. Earlier checkpoints are untouched.',
    });
    expect((await store.list()).total).toBe(0);
    expect(await readdir(join(dir, 'chunks'))).toEqual([]);
  });
});

describe('a folder that was tampered with', () => {
  it('124: finds every flipped bit of every chunk on the disk', async () => {
    const { backend, store, runId, writer } = await openRun({ backend: () => openFolderBackend(dir) });
    const { checkpoint } = await writer.save(testCheckpoint(1));
    let flips = 0;
    for (const sha256 of (await backend.listChunks()).keys()) {
      const path = join(dir, 'chunks', sha256.slice(0, 2), sha256);
      const right = await readFile(path);
      const wrong = Buffer.from(right);
      const at = (flips * 131) % right.byteLength;
      wrong[at] = (wrong[at] ?? 0) ^ (1 << (flips % 8));
      await writeFile(path, wrong);
      expect((await store.verify(checkpoint.id)).damage?.problem).toMatch(
        /has other content than was written/,
      );
      expect((await store.latest(runId)).checkpoint).toBeNull();
      await writeFile(path, right);
      expect((await store.verify(checkpoint.id)).damage).toBeNull();
      flips += 1;
    }
    expect(flips).toBeGreaterThan(8);
  });

  it('124: names a record that was changed, lists the others, and sweeps nothing until it is gone', async () => {
    const { backend, store, writer } = await openRun({ backend: () => openFolderBackend(dir) });
    const first = (await writer.save(testCheckpoint(1))).checkpoint;
    const second = (await writer.save(testCheckpoint(2))).checkpoint;
    await store.close();
    const path = join(dir, 'checkpoints', `${first.id}.json`);
    const text = await readFile(path, 'utf8');
    for (const changed of [text.replace('"step":1', '"step":7'), text.slice(0, -70), '', '{}']) {
      await writeFile(path, changed);
      const opened = await openCheckpointStore(await openFolderBackend(dir), SMALL);
      expect(opened.start.unreadable).toEqual([
        { what: join('checkpoints', `${first.id}.json`), problem: 'it does not match its own hash' },
      ]);
      expect(opened.start.swept.done).toBe(false);
      expect((await opened.list()).items.map(({ id }) => id)).toEqual([second.id]);
    }
    expect(await backend.readChunk(chunkOfPart(first, 'adapter_model.safetensors'))).not.toBeNull();
    await rm(path);
    const { start } = await openCheckpointStore(await openFolderBackend(dir), SMALL);
    expect([start.swept.done, start.swept.chunks > 5, start.unreadable]).toEqual([true, true, []]);
    expect(await looseChunks(backend)).toEqual({ orphans: 0, missing: 0 });
  });

  it('125: refuses a newer store, a damaged one, a folder of something else, and one that is not there', async () => {
    const open = (path: string, create = true) => codeOf(() => openFolderBackend(path, { create }));
    expect(await open(dir, false)).toBe('FILE_NOT_FOUND');
    expect(await open(dir)).toBe('no error');
    expect(await open(dir, false)).toBe('no error');
    const meta = join(dir, 'lorikeet-store.json');
    const text = await readFile(meta, 'utf8');
    await writeFile(meta, text.replace('"schema":1', '"schema":2'));
    expect(await open(dir)).toBe('STORE_NEWER');
    await writeFile(meta, 'nonsense');
    expect(await open(dir)).toBe('STORE_DAMAGED');
    const other = join(dirname(dir), 'documents');
    await mkdir(other);
    await writeFile(join(other, 'letter.txt'), 'Dear');
    expect(await open(other)).toBe('STORE_FAILED');
    expect(await readdir(other)).toEqual(['letter.txt']);
    expect(await open(join(other, 'letter.txt'))).toBe('STORE_FAILED');
  });
});
