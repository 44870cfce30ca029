/** What every home of the store must do: deletion, the bin, sweeping, failing writes, finding. */
import { archiveEntries } from '../formats/archive-write.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { tarOfEntries, testFullExport } from '../formats/testing-export.ts';
import { codeOf, collect } from '../formats/testing.ts';
import { storeFull } from './full.ts';
import { openCheckpointStore } from './open-store.ts';
import {
  isTrue,
  looseChunks,
  openRun,
  refuses,
  same,
  sameContent,
  SMALL,
  testCheckpoint,
  watchWrites,
  type StoreCase,
} from './testing-store.ts';

const deleting: StoreCase[] = [
  {
    name: 'deletes to a bin, restores from it, and empties it by its rule',
    run: async (home) => {
      let now = 1e12;
      const binRule = { seconds: 100, automaticSeconds: 10, maxBytes: 1e9 };
      const { backend, store, runId, writer } = await openRun(home, { ...SMALL, now: () => now, binRule });
      const saved = [];
      for (const step of [1, 2, 3, 4]) saved.push((await writer.save(testCheckpoint(step))).checkpoint);
      const [one, two, three, four] = saved.map(({ id }) => id) as [string, string, string, string];
      const before = (await backend.listChunks()).size;
      await store.remove([one, two]);
      same(
        (await store.list({ runId, order: 'asc' })).items.map(({ id }) => id),
        [three, four],
      );
      await refuses('CHECKPOINT_NOT_FOUND', () => store.get(one));
      await store.collectGarbage();
      same((await backend.listChunks()).size, before, 'the bin keeps its bytes');
      await store.restore([one]);
      await sameContent(store, one, testCheckpoint(1).parts);
      await refuses('CHECKPOINT_NOT_FOUND', () => store.restore([one]));
      const plan = await store.prune(runId, { keepLatest: 1 });
      same(plan.remove.map(({ checkpoint }) => checkpoint.id).sort(), [one, three].sort());
      now += 11_000;
      await store.emptyBin('due');
      same(
        (await store.bin()).map(({ id }) => id),
        [two],
        'what was asked for stays longer',
      );
      now += 100_000;
      const { start } = await openCheckpointStore(await home.backend(), {
        ...SMALL,
        now: () => now,
        binRule,
      });
      isTrue(start.swept.chunks > 0, 'the start empties it too');
      same(await store.bin(), []);
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
      await sameContent(store, four, testCheckpoint(4).parts);
    },
  },
  {
    name: 'lets the oldest leave a bin that is too large',
    run: async (home) => {
      let now = 1e12;
      const binRule = { seconds: 1000, automaticSeconds: 1000, maxBytes: 25_000 };
      const { store, writer } = await openRun(home, { ...SMALL, now: () => now, binRule });
      const ids: string[] = [];
      for (const step of [1, 2, 3, 4]) {
        ids.push((await writer.save(testCheckpoint(step))).checkpoint.id);
      }
      for (const id of ids.slice(0, 3)) {
        now += 1000;
        await store.remove([id]);
      }
      await store.emptyBin('due');
      same(
        (await store.bin()).map(({ id }) => id),
        [ids[2], ids[1]],
      );
      const { binBytes, totalBytes } = await store.sizes();
      isTrue(binBytes > 18_000 && binBytes <= 25_000 && totalBytes > binBytes, 'sizes say so');
      await store.emptyBin('all');
      same((await store.sizes()).binBytes, 0);
    },
  },
  {
    name: '128: does not delete what is pinned, last, or the base of a delta',
    run: async (home) => {
      const { backend, store, runId, writer } = await openRun(home);
      const base = (await writer.save(testCheckpoint(1))).checkpoint;
      await refuses('CHECKPOINT_PROTECTED', () => store.remove([base.id]));
      const delta = { baseId: base.id, baseSha256: '0'.repeat(64), resultSha256: '1'.repeat(64) };
      const second = await writer.save(testCheckpoint(2, { delta: { ...delta, measuredRatio: 2 } }));
      const third = (await writer.save(testCheckpoint(3, { pinned: true }))).checkpoint;
      await writer.save(testCheckpoint(4));
      await refuses('CHECKPOINT_PROTECTED', () => store.remove([base.id], { force: true }));
      await refuses('CHECKPOINT_PROTECTED', () =>
        writer.save(testCheckpoint(9, { name: base.name, overwrite: true })),
      );
      await refuses('CHECKPOINT_PROTECTED', () => store.remove([third.id]));
      await refuses('CHECKPOINT_NOT_FOUND', () =>
        writer.save(
          testCheckpoint(5, { delta: { ...delta, baseId: second.checkpoint.id, measuredRatio: 2 } }),
        ),
      );
      await store.remove([second.checkpoint.id]);
      await store.remove([base.id]);
      await refuses('CHECKPOINT_NOT_FOUND', () => store.restore([second.checkpoint.id]));
      await store.emptyBin([base.id]);
      same((await store.bin()).length, 2, 'the base stays in the bin with its delta');
      await store.restore([second.checkpoint.id, base.id]);
      await store.update(third.id, { pinned: false });
      await store.remove([third.id], { forGood: true });
      same(await store.bin(), []);
      await refuses('CHECKPOINT_NOT_FOUND', () => store.get(third.id));
      await store.collectGarbage();
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
      same((await store.list({ runId })).total, 3);
    },
  },
  {
    name: 'deletes a run with its checkpoints, and brings it back with one of them',
    run: async (home) => {
      const { store, runId, writer } = await openRun(home);
      const { checkpoint } = await writer.save(testCheckpoint(1));
      await writer.save(testCheckpoint(2));
      await writer.release();
      await store.removeRun(runId);
      same([(await store.runs()).length, (await store.list()).total], [0, 0]);
      await refuses('RUN_NOT_FOUND', () => store.findRun('pirates'));
      await store.restore([checkpoint.id]);
      same((await store.findRun('pirates')).id, runId);
      const again = await store.openRun(runId);
      if (again.writable) same((await again.save(testCheckpoint(3))).checkpoint.sequence, 3);
      if (again.writable) await again.release();
      await store.removeRun(runId);
      await store.emptyBin('all');
      await refuses('CHECKPOINT_NOT_FOUND', () => store.restore([checkpoint.id]));
      same((await store.sizes()).totalBytes, 0);
    },
  },
  {
    name: 'shows before a prune what it would do, and then does that',
    run: async (home) => {
      const { backend, store, runId, writer } = await openRun(home);
      for (let step = 1; step <= 8; step++) {
        await writer.save(
          testCheckpoint(step, { metrics: { loss: Math.abs(step - 3) }, pinned: step === 2 }),
        );
      }
      const policy = {
        keepLatest: 2,
        keepBest: { count: 1, metric: 'loss', direction: 'min' },
        keepEvery: 5,
      } as const;
      const plan = await store.planPrune(runId, policy);
      same(
        plan.remove.map(({ checkpoint }) => checkpoint.step).sort((a, b) => a - b),
        [1, 4, 6],
      );
      same((await store.list({ runId })).total, 8, 'a plan changes nothing');
      same((await store.best(runId, 'loss', 'min'))?.step, 3);
      same(await store.prune(runId, policy), plan);
      const before = (await store.sizes()).totalBytes;
      await store.emptyBin('all');
      same(before - (await store.sizes()).totalBytes, plan.bytes, 'bytes freed');
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
      same(
        (await store.list({ runId, order: 'asc' })).items.map(({ step }) => step),
        [2, 3, 5, 7, 8],
      );
    },
  },
];

const expiring: StoreCase[] = [
  {
    name: 'lets go what has expired, by the time that was last asked for, and says before what and how many bytes',
    run: async (home) => {
      let now = 1e12;
      const { store, runId, writer } = await openRun(home, { ...SMALL, now: () => now });
      const ids: string[] = [];
      for (const step of [1, 2, 3, 4, 5]) {
        ids.push((await writer.save(testCheckpoint(step, { ttlSeconds: 100 }))).checkpoint.id);
      }
      const [one = '', two = '', three = '', four = '', five = ''] = ids;
      now += 50_000;
      same((await store.update(two, { ttlSeconds: null })).expiresAt, null, 'no limit any more');
      // From now on, not from the saving on.
      same((await store.update(three, { ttlSeconds: 80 })).expiresAt, new Date(now + 80_000).toISOString());
      await store.update(four, { ttlSeconds: 1 });
      await refuses('CHECKPOINT_INVALID', () => store.update(four, { ttlSeconds: -1 }));
      const going = async () =>
        (await store.planPrune(runId, {})).remove.map(({ checkpoint, reason }) => [checkpoint.id, reason]);
      same(await going(), []);
      now += 1000;
      same(await going(), [[four, 'expired']], 'sooner than it was');
      now += 49_000;
      const plan = await store.planPrune(runId, { keepLatest: 5 });
      same(
        plan.remove.map(({ checkpoint, reason }) => [checkpoint.step, reason]),
        [
          [1, 'expired'],
          [4, 'expired'],
        ],
      );
      // The last good one outlives its time; the others are kept by the rule.
      const kept = plan.keep.find(({ checkpoint }) => checkpoint.id === five);
      same(kept?.reasons, ['last-good']);
      const own = plan.remove.reduce((sum, { checkpoint }) => sum + checkpoint.size, 0) - 2 * 1000;
      same(plan.bytes, own, 'all but the tokenizer, which others share');
      same((await store.list()).total, 5, 'a plan changes nothing');
      await store.prune(runId, { keepLatest: 5 });
      await refuses('CHECKPOINT_NOT_FOUND', () => store.get(one));
      await store.restore([one]);
      same((await store.get(one)).expiresAt, null, 'what is brought back does not go again at once');
      now += 1e9;
      same(await going(), [[three, 'expired']]);
    },
  },
];

const trouble: StoreCase[] = [
  {
    name: '119: keeps what it has when any write of a save fails, says so with sizes, and saves again after it',
    run: async (home) => {
      let failAt = Infinity;
      let writes = 0;
      const before = (): Promise<void> => {
        writes += 1;
        return writes === failAt ? Promise.reject(storeFull('the test')) : Promise.resolve();
      };
      const watched = { backend: async () => watchWrites(await home.backend(), before) };
      const { backend, store, runId, writer } = await openRun(watched);
      const good = (await writer.save(testCheckpoint(1))).checkpoint;
      writes = 0;
      await writer.save(testCheckpoint(2));
      const perSave = writes;
      isTrue(perSave >= 4, 'journal, chunks, commit, verification');
      for (let n = 1; n <= perSave; n++) {
        writes = 0;
        failAt = n;
        const input = testCheckpoint(10 + n);
        const code = await codeOf(() => writer.save(input));
        failAt = Infinity;
        // The last write only notes that all was read back: without it the checkpoint is there, unverified.
        same(code, n === perSave ? 'no error' : 'STORE_FULL', `write ${String(n)}`);
        same((await store.list({ runId })).total, n === perSave ? 3 : 2, `listed after write ${String(n)}`);
        same(await looseChunks(backend), { orphans: 0, missing: 0 }, `chunks after write ${String(n)}`);
        await sameContent(store, good.id, testCheckpoint(1).parts);
        isTrue((await store.latest(runId)).checkpoint !== null, 'there is one to go on from');
      }
      await writer.save(testCheckpoint(100));
      writes = 0;
      failAt = 2;
      const error: unknown = await writer.save(testCheckpoint(101)).catch((thrown: unknown) => thrown);
      failAt = Infinity;
      const text = error instanceof Error ? error.message : '';
      isTrue(/step-000101 was not saved: it needs \d+\.\d kB/.test(text), text);
    },
  },
  {
    name: '127: sweeps while others save, and takes nothing of theirs',
    run: async (home) => {
      const { backend, store, writer } = await openRun(home);
      const second = await openCheckpointStore(await home.backend(), SMALL);
      const run = await second.createRun({ name: 'other' });
      const other = await second.openRun(run.id);
      if (!other.writable) throw new Error(other.reason);
      const work: Promise<unknown>[] = [];
      for (let step = 1; step <= 6; step++) {
        // Both save the same bytes: each counts on chunks that the other may be writing or taking back.
        work.push(
          writer.save(testCheckpoint(step)),
          other.save(testCheckpoint(step)),
          store.collectGarbage(),
        );
        const stop = new AbortController();
        const doomed = other.save(testCheckpoint(step, { name: `doomed-${String(step)}` }), {
          signal: stop.signal,
          onPhase: (phase) => {
            if (phase === 'stored') stop.abort();
          },
        });
        work.push(
          doomed.catch(() => null),
          second.collectGarbage(),
        );
      }
      await Promise.all(work);
      const { items } = await store.list();
      same(items.length, 12);
      for (const { id } of items) same((await store.verify(id)).damage, null);
      await store.collectGarbage();
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
    },
  },
  {
    name: '131: takes an import while another run is saved, and gives out the same bytes; a reader may give up',
    run: async (home) => {
      const { backend, store, runId, writer } = await openRun(home);
      const entries = await archiveEntries(testFullExport());
      const wanted = sha256Hex(await tarOfEntries(entries));
      const [first, ...parts] = entries;
      const manifest = first === undefined ? '' : new TextDecoder().decode(await collect(first.chunks()));
      const other = await store.openRun((await store.createRun({ name: 'imports' })).id);
      if (!other.writable) throw new Error(other.reason);
      const work: Promise<unknown>[] = [];
      const imports: Promise<string>[] = [];
      for (let step = 1; step <= 4; step++) {
        work.push(writer.save(testCheckpoint(step)));
        const name = `from-afar-${String(step)}`;
        const input = { name, step: 10, kind: 'full', trigger: 'import', parts, manifest } as const;
        imports.push(other.save(input).then(({ checkpoint }) => checkpoint.id));
      }
      await Promise.all(work);
      for (const id of await Promise.all(imports)) {
        const stored = await store.open(id);
        for await (const chunk of stored.entries()[1]?.chunks() ?? []) {
          isTrue(chunk.byteLength > 0, 'the first piece, and no more of them');
          break;
        }
        same(sha256Hex(await tarOfEntries(stored.entries())), wanted);
      }
      same((await store.list({ runId })).total, 4);
      same(await looseChunks(backend), { orphans: 0, missing: 0 });
    },
  },
  {
    name: 'finds by filter, page and order, and knows where a checkpoint comes from',
    run: async (home) => {
      const { store, runId, writer } = await openRun(home);
      let parentId: string | null = null;
      for (let step = 1; step <= 5; step++) {
        const metadata = { author: step === 2 ? 'Ada' : 'Bob' };
        const kind = step === 4 ? 'sampler' : 'full';
        const { checkpoint } = await writer.save(testCheckpoint(step, { parentId, metadata, kind }));
        parentId = checkpoint.id;
      }
      const fork = await store.createRun({ name: 'fork' });
      const opened = await store.openRun(fork.id);
      if (opened.writable) await opened.save(testCheckpoint(9, { parentId }));
      const steps = async (query: Parameters<typeof store.list>[0]) =>
        (await store.list(query)).items.map(({ step }) => step);
      same(await steps({ runId, text: 'ADA' }), [2]);
      same(await steps({ kind: 'sampler' }), [4]);
      same(await steps({ runId, metric: { name: 'loss', max: 0.5 }, order: 'asc' }), [3, 4, 5]);
      same(await steps({ runId, sort: { metric: 'loss' }, order: 'desc', limit: 2 }), [1, 2]);
      const page = await store.list({ runId, limit: 2, offset: 2 });
      same([page.items.map(({ step }) => step), page.total, page.nextOffset], [[3, 2], 5, 4]);
      const lineage = await store.lineage(parentId ?? '');
      same(
        [lineage.ancestors.map(({ step }) => step), lineage.children.map(({ step }) => step)],
        [[4, 3, 2, 1], [9]],
      );
      same((await store.latest(runId)).checkpoint?.step, 5);
      const sizes = await store.sizes();
      const own = sizes.runs.get(fork.id);
      isTrue(own !== undefined && own.bytes - own.ownBytes === 1000, 'the tokenizer is shared');
    },
  },
];

export const careCases: StoreCase[] = [...deleting, ...expiring, ...trouble];
