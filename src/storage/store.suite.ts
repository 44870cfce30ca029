/** What every home of the store must do: saving, naming, finding, writing in turn. */
import { archiveEntries } from '../formats/archive-write.ts';
import { textEntry, type FileEntry } from '../formats/file-entry.ts';
import { MANIFEST_FILE, parseManifest } from '../formats/manifest.ts';
import { readAdapterFolder } from '../formats/archive-read.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { tarOfEntries, testFullExport } from '../formats/testing-export.ts';
import { collect } from '../formats/testing.ts';
import type { SavePhase } from './commit.ts';
import { openCheckpointStore } from './open-store.ts';
import {
  isTrue,
  looseChunks,
  openRun,
  refuses,
  same,
  sameContent,
  SMALL,
  testBytes,
  testCheckpoint,
  TEST_MANIFEST,
  type StoreCase,
} from './testing-store.ts';

async function textOf(entry: FileEntry | undefined): Promise<string> {
  if (entry === undefined) throw new Error('no such entry');
  return new TextDecoder().decode(await collect(entry.chunks()));
}

const saving: StoreCase[] = [
  {
    name: 'saves a checkpoint whole, reads it back, and lists it',
    run: async (home) => {
      const { backend, store, runId, writer } = await openRun(home);
      const phases: SavePhase[] = [];
      const input = testCheckpoint(10, {
        metadata: { mood: 'fine' },
        tags: ['a', 'b', 'a'],
        note: 'n',
        parentId: null,
      });
      const { checkpoint, writtenBytes } = await writer.save(input, { onPhase: (p) => phases.push(p) });
      same(phases, ['copied', 'staged', 'stored', 'committed', 'verified']);
      isTrue(checkpoint.verifiedAt !== null && checkpoint.damage === null, 'it is verified');
      same([checkpoint.tags, checkpoint.metadata, checkpoint.sequence], [['a', 'b'], { mood: 'fine' }, 1]);
      same(writtenBytes, checkpoint.size, 'bytes written');
      await sameContent(store, checkpoint.id, input.parts);
      const { items, total } = await store.list({ runId });
      same([items, total], [[checkpoint], 1]);
      same(await store.find(runId, 'step-000010'), checkpoint);
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
      const entries = (await store.open(checkpoint.id)).entries();
      const manifest = parseManifest(await textOf(entries[0]));
      same([manifest.id, manifest.runId, manifest.step], [checkpoint.id, runId, 10]);
      same(
        manifest.files.map(({ path }) => path),
        ['adapter_model.safetensors', 'state/optimizer.safetensors', 'tokenizer.json'],
      );
      isTrue(
        (await backend.contents()).journals.length === 0 && checkpoint.about?.lora.r === 8,
        'no journal is left, and the record says what the adapter is',
      );
      // Another connection sees the same.
      const other = await openCheckpointStore(await home.backend(), SMALL);
      same((await other.list({ runId })).items, [checkpoint]);
      await sameContent(other, checkpoint.id, input.parts);
    },
  },
  {
    name: '131: keeps an imported archive to the byte, and hands it out as a PEFT folder',
    run: async (home) => {
      const { store, writer } = await openRun(home);
      const entries = await archiveEntries(testFullExport());
      const [first, ...parts] = entries;
      const fields = { name: 'from-afar', step: 10, kind: 'full', trigger: 'import', parts } as const;
      const { checkpoint } = await writer.save({ ...fields, manifest: await textOf(first) });
      same(checkpoint.origin?.name, 'step-000010');
      const stored = await store.open(checkpoint.id);
      same(sha256Hex(await tarOfEntries(stored.entries())), sha256Hex(await tarOfEntries(entries)), 'tar');
      const adapter = await readAdapterFolder(stored.files());
      same(adapter.adapter.tensors.length, testFullExport().adapter.tensors.length);
      const changed = [textEntry('README.md', 'other'), ...parts.filter(({ path }) => path !== 'README.md')];
      await refuses('CHECKPOINT_INVALID', async () =>
        writer.save({ ...fields, name: 'changed', parts: changed, manifest: await textOf(first) }),
      );
      same((await store.list()).total, 1, 'nothing was stored of the changed one');
    },
  },
  {
    name: 'stores what checkpoints share once, and no view with more than itself',
    run: async (home) => {
      const { backend, writer } = await openRun(home);
      const first = await writer.save(testCheckpoint(1));
      const second = await writer.save(testCheckpoint(2));
      const manifestBytes = second.checkpoint.parts[0]?.size ?? 0;
      same(second.writtenBytes, 9000 + manifestBytes, 'without the tokenizer');
      const again = await writer.save(testCheckpoint(2, { name: 'again' }));
      same(again.writtenBytes, again.checkpoint.parts[0]?.size, 'its manifest only');
      const sizes = await backend.listChunks();
      same(Math.max(...[...sizes.values()].map((size) => size ?? 0)) <= 1024, true);
      isTrue(first.checkpoint.size > 10_000, 'its size counts all of it');
    },
  },
  {
    name: 'reads a part at any place',
    run: async (home) => {
      const { store, writer } = await openRun(home);
      const { checkpoint } = await writer.save(testCheckpoint(4));
      const source = await (await store.open(checkpoint.id)).files().open('state/optimizer.safetensors');
      const whole = testBytes(1004, 6000);
      for (const [start, end] of [
        [0, 10],
        [1020, 1030],
        [100, 5000],
        [5990, 6000],
        [1024, 2048],
        [6000, 6000],
      ] as const) {
        same([...(await source.read(start, end))], [...whole.subarray(start, end)], `${String(start)}..`);
      }
      await refuses('FILE_NOT_FOUND', async () => (await store.open(checkpoint.id)).files().open('nothing'));
    },
  },
  {
    name: 'copies what it is given before it says so',
    run: async (home) => {
      const { store, writer } = await openRun(home);
      const live = testBytes(7, 5000);
      const before = live.slice();
      const chunks = () => [live.subarray(0, 1500), live.subarray(1500)];
      const input = testCheckpoint(1, { parts: [{ path: 'w', size: 5000, chunks }] });
      const { checkpoint } = await writer.save(input, {
        onPhase: (phase) => {
          if (phase === 'copied') live.fill(0);
        },
      });
      const expected = { path: 'w', size: 5000, chunks: () => [before] };
      await sameContent(store, checkpoint.id, [expected]);
    },
  },
  {
    name: 'decodes parts that are stored in another form',
    run: async (home) => {
      const flip = (bytes: Uint8Array<ArrayBuffer>) => bytes.map((byte) => byte ^ 255);
      const decoders = new Map([
        [
          'flipped',
          async function* (_part: unknown, stored: AsyncIterable<Uint8Array<ArrayBuffer>>) {
            for await (const chunk of stored) yield flip(chunk);
          },
        ],
      ]) as never;
      const { store, writer } = await openRun(home, { ...SMALL, decoders });
      const content = testBytes(3, 3000);
      const stored = { size: 3000, encoding: 'flipped', chunks: () => [flip(content)] };
      const part = { path: 'w', size: 3000, chunks: () => [content], stored };
      const { checkpoint } = await writer.save(testCheckpoint(1, { parts: [part] }));
      same(checkpoint.parts[1]?.sha256, sha256Hex(content), 'hash of the content');
      await sameContent(store, checkpoint.id, [part]);
      const source = await (await store.open(checkpoint.id)).files().open('w');
      same([...(await source.read(7, 11))], [...content.subarray(7, 11)]);
      const without = await openCheckpointStore(await home.backend(), SMALL);
      await refuses('STORE_NEWER', () => sameContent(without, checkpoint.id, [part]));
    },
  },
];

const naming: StoreCase[] = [
  {
    name: '126: refuses names that could not be paths, names that are taken, and figures that are none',
    run: async (home) => {
      const { store, writer } = await openRun(home);
      for (const name of [
        '',
        'a/b',
        '../x',
        'ab\u{1F600}',
        'x'.repeat(256),
        'x'.repeat(500),
        'a b',
        'step\n1',
        'a\\b',
      ]) {
        await refuses('CHECKPOINT_NAME', () => writer.save(testCheckpoint(1, { name })));
      }
      await writer.save(testCheckpoint(1, { name: 'x'.repeat(255) }));
      await writer.save(testCheckpoint(1));
      await refuses('CHECKPOINT_EXISTS', () => writer.save(testCheckpoint(1)));
      const wrong = [
        testCheckpoint(2, { metrics: { loss: NaN } }),
        testCheckpoint(2, { metrics: { loss: Infinity } }),
        testCheckpoint(-1),
        testCheckpoint(1.5),
        testCheckpoint(2, { tags: [' '] }),
        testCheckpoint(2, { ttlSeconds: 0 }),
        testCheckpoint(2, { ttlSeconds: NaN }),
        testCheckpoint(2, { parts: [] }),
        testCheckpoint(2, { parts: [textEntry('a', '1'), textEntry('a', '2')] }),
        testCheckpoint(2, { parts: [textEntry('../a', '1')] }),
        testCheckpoint(2, { parts: [textEntry(MANIFEST_FILE, '{}')] }),
        testCheckpoint(2, { parts: [{ path: 'a', size: 3, chunks: () => [new Uint8Array(2)] }] }),
        testCheckpoint(2, { parts: [{ path: 'a', size: 3, chunks: () => [new Uint8Array(4)] }] }),
      ];
      for (const input of wrong) await refuses('CHECKPOINT_INVALID', () => writer.save(input));
      same((await store.list()).total, 2, 'only the good ones are there');
      await refuses('RUN_NOT_FOUND', () => store.openRun('nothing'));
      await refuses('CHECKPOINT_NOT_FOUND', () => store.get('nothing'));
    },
  },
  {
    name: 'overwrites on request, whole, with the old one in the bin',
    run: async (home) => {
      const { store, runId, writer } = await openRun(home);
      const old = (await writer.save(testCheckpoint(1, { name: 'rolling' }))).checkpoint;
      const next = testCheckpoint(2, { name: 'rolling', overwrite: true });
      const { checkpoint } = await writer.save(next);
      same((await store.list({ runId })).items, [checkpoint]);
      same(checkpoint.sequence > old.sequence && checkpoint.id !== old.id, true);
      same(
        (await store.bin()).map(({ id, reason }) => [id, reason]),
        [[old.id, 'replaced']],
      );
      await refuses('CHECKPOINT_EXISTS', () => store.restore([old.id]));
      await store.update(checkpoint.id, { name: 'rolling-2' });
      await store.restore([old.id]);
      await sameContent(store, old.id, testCheckpoint(1).parts);
      await sameContent(store, checkpoint.id, next.parts);
    },
  },
  {
    name: 'takes one that was away back to its place in the run, or to the end where that is taken',
    run: async (home) => {
      const { store, runId, writer } = await openRun(home);
      const first = (await writer.save(testCheckpoint(1))).checkpoint;
      await writer.save(testCheckpoint(2));
      await store.remove([first.id], { force: true });
      const was = { sequence: first.sequence, createdAt: '2020-01-02T03:04:05.000Z' };
      const back = (await writer.save(testCheckpoint(1, { was }))).checkpoint;
      same([back.sequence, back.createdAt], [was.sequence, was.createdAt]);
      await sameContent(store, back.id, testCheckpoint(1).parts);
      const names = async (): Promise<string[]> =>
        (await store.list({ runId })).items.map(({ name }) => name);
      same(await names(), ['step-000002', 'step-000001']);
      await writer.save(testCheckpoint(3, { was }));
      const { checkpoint } = await writer.save(testCheckpoint(4));
      same(await names(), ['step-000004', 'step-000003', 'step-000002', 'step-000001']);
      same(checkpoint.sequence, 4);
      const wrong = [
        { ...was, sequence: 0 },
        { ...was, sequence: 1.5 },
        { ...was, createdAt: 'yesterday' },
      ];
      for (const was of wrong) {
        await refuses('CHECKPOINT_INVALID', () => writer.save(testCheckpoint(9, { was })));
      }
    },
  },
  {
    name: 'changes tags, note, pin, metadata, expiry and name; the name also inside',
    run: async (home) => {
      const { backend, store, writer } = await openRun(home, { ...SMALL, now: () => 1_000_000 });
      const { checkpoint } = await writer.save(testCheckpoint(1, { ttlSeconds: 60 }));
      same(checkpoint.expiresAt, new Date(1_060_000).toISOString());
      const { id } = checkpoint;
      const changed = await store.update(id, {
        tags: ['x'],
        note: 'mine',
        pinned: true,
        metadata: { a: 'b' },
        ttlSeconds: null,
      });
      same([changed.tags, changed.note, changed.pinned, changed.metadata], [['x'], 'mine', true, { a: 'b' }]);
      same([changed.expiresAt, changed.ttlSeconds], [null, null]);
      await writer.save(testCheckpoint(2));
      await refuses('CHECKPOINT_EXISTS', () => store.update(id, { name: 'step-000002' }));
      await refuses('CHECKPOINT_NAME', () => store.update(id, { name: 'no/way' }));
      const renamed = await store.update(id, { name: 'first-try' });
      same([renamed.name, renamed.tags, renamed.sequence], ['first-try', ['x'], 1]);
      const manifest = parseManifest(await textOf((await store.open(id)).entries()[0]));
      same([manifest.name, manifest.id, manifest.files.length], ['first-try', id, 3]);
      same((await store.verify(id)).damage, null);
      await store.collectGarbage();
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
      same((await store.verify(id)).damage, null);
    },
  },
  {
    name: '126: keeps the order of saving when the clock goes back',
    run: async (home) => {
      let now = Date.parse('2026-11-21T12:00:00Z');
      const { store, runId, writer } = await openRun(home, { ...SMALL, now: () => now });
      for (const step of [1, 2, 3]) {
        await writer.save(testCheckpoint(step));
        now -= 3_600_000;
      }
      same(
        (await store.list({ runId })).items.map(({ step }) => step),
        [3, 2, 1],
      );
      same((await store.latest(runId)).checkpoint?.step, 3);
    },
  },
];

const writers: StoreCase[] = [
  {
    name: 'lets one writer at a run, and says so to the second until the first is gone',
    run: async (home) => {
      const { runId, writer, store } = await openRun(home);
      const second = await openCheckpointStore(await home.backend(), SMALL);
      const refused = await second.openRun(runId);
      isTrue(!refused.writable && /is being written by/.test(refused.reason), 'the second may only read');
      await refuses('STORE_LOCKED', () => second.removeRun(runId));
      const waiting = second.openRun(runId, { wait: true });
      await writer.save(testCheckpoint(1));
      same((await second.list({ runId })).total, 1, 'it sees what the first one writes');
      await second.update((await second.find(runId, 'step-000001')).id, { pinned: true });
      const aborted = new AbortController();
      const third = store.openRun(runId, { wait: true, signal: aborted.signal });
      aborted.abort();
      same(
        await third.then(
          () => 'opened',
          () => 'gave up',
        ),
        'gave up',
      );
      await writer.release();
      await refuses('STORE_LOCKED', () => writer.save(testCheckpoint(2)));
      const taken = await waiting;
      isTrue(taken.writable, 'the second takes over');
      if (taken.writable) await taken.save(testCheckpoint(2));
      const other = await store.createRun({ name: 'another' });
      isTrue((await store.openRun(other.id)).writable, 'another run is free');
      await second.close();
      isTrue((await store.openRun(runId)).writable, 'closing a store lets go of its runs');
    },
  },
  {
    name: 'saves one after the other, and goes on after one that failed',
    run: async (home) => {
      const { store, runId, writer } = await openRun(home);
      const saves = [1, 2, 2, 3].map((step) => writer.save(testCheckpoint(step)).catch(() => null));
      const results = await Promise.all(saves);
      same(
        results.map((result) => result?.checkpoint.sequence ?? 0),
        [1, 2, 0, 3],
      );
      await writer.release();
      same((await store.list({ runId })).total, 3);
    },
  },
  {
    name: 'stops a save that is cancelled, and leaves nothing of it',
    run: async (home) => {
      const { backend, store, writer } = await openRun(home);
      for (const phase of ['copied', 'staged', 'stored']) {
        const stop = new AbortController();
        const onPhase = (reached: SavePhase) => {
          if (reached === phase) stop.abort();
        };
        await refuses('CANCELLED', () => writer.save(testCheckpoint(1), { signal: stop.signal, onPhase }));
        same(await looseChunks(backend), { orphans: 0, missing: 0 }, phase);
      }
      same((await store.list()).total, 0);
      same((await backend.contents()).journals, []);
      await writer.save(testCheckpoint(1, { manifest: { ...TEST_MANIFEST, appVersion: '2' } }));
    },
  },
];

export const storeCases: StoreCase[] = [...saving, ...naming, ...writers];
