/** What the tests of the store run in a real browser; loaded there as a module. */
import { toErrorFields, type ErrorFields } from '../errors.ts';
import { codeOf } from '../formats/testing.ts';
import type { StoreBackend } from './backend.ts';
import type { CheckpointStore, RunWriter } from './checkpoint-store.ts';
import { openIndexedDbBackend, type IndexedDbOptions } from './indexeddb-backend.ts';
import { DB_VERSION } from './indexeddb-connection.ts';
import { openCheckpointStore } from './open-store.ts';
import { careCases } from './store-care.suite.ts';
import { damageCases } from './store-damage.suite.ts';
import { storeCases } from './store.suite.ts';
import { looseChunks, openRun, sameContent, SMALL, testCheckpoint, watchWrites } from './testing-store.ts';
import { churn, inspectStore } from './testing-kill.ts';
import { timeListing } from './testing-listing.ts';

declare global {
  /** Handed in by the test that kills the browser. */
  var report: (line: string) => Promise<void>;
}

const cases = new Map([...storeCases, ...damageCases, ...careCases].map((test) => [test.name, test]));

const home = (name: string, options: IndexedDbOptions = {}) => ({
  backend: () => openIndexedDbBackend({ ...options, name }),
});

/** Runs one case of the shared suite; empty when it passed. */
async function runCase(name: string): Promise<string> {
  try {
    await cases.get(name)?.run(home(`case ${name}`));
    return '';
  } catch (error) {
    return error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error);
  }
}

let held: { store: CheckpointStore; writer: RunWriter | null; notices: string[] } | null = null;

/** Opens a store and takes its one run, or makes it; says whether it may write. */
async function take(name: string, wait: boolean): Promise<string> {
  const notices: string[] = [];
  const backend = await openIndexedDbBackend({ name, onNotice: (notice) => notices.push(notice) });
  const store = await openCheckpointStore(backend, SMALL);
  const run = (await store.runs())[0] ?? (await store.createRun({ name: 'pirates' }));
  const opened = await store.openRun(run.id, { wait });
  held = { store, writer: opened.writable ? opened : null, notices };
  return opened.writable ? 'writable' : opened.reason;
}

/** Saves into the run that this page took. */
const save = (step: number): Promise<string> => codeOf(() => held?.writer?.save(testCheckpoint(step)));

async function listed(): Promise<string[]> {
  return ((await held?.store.list({ order: 'asc' }))?.items ?? []).map(({ name }) => name);
}

/** Opens the database as another version of the studio would; resolves with how long that took. */
function openRaw(name: string, version: number, keep: boolean): Promise<number> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, version);
    request.onerror = () => reject(request.error ?? new Error('open failed'));
    request.onsuccess = () => {
      if (keep) kept = request.result;
      else request.result.close();
      resolve(performance.now() - start);
    };
  });
}
let kept: IDBDatabase | null = null;

/** Begins to change the layout of a new database, and never comes to an end with it. */
function halfUpgrade(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, DB_VERSION);
    request.onerror = () => reject(request.error ?? new Error('open failed'));
    request.onupgradeneeded = () => {
      const db = request.result;
      db.createObjectStore('meta');
      const runs = db.createObjectStore('runs', { keyPath: 'id' });
      // A transaction lives as long as it has something to do.
      const next = (): void => {
        runs.put({ id: 'x', text: 'x'.repeat(1000) }).onsuccess = next;
      };
      next();
      resolve();
    };
  });
}

/** Whether a store can be opened here, and what its last page left behind. */
async function openAndList(name: string) {
  const sentinel = {
    read: () => localStorage.getItem(name),
    write: (text: string) => localStorage.setItem(name, text),
  };
  try {
    const backend = await openIndexedDbBackend({ name });
    const store = await openCheckpointStore(backend, { ...SMALL, sentinel });
    const names = (await store.list()).items.map((item) => item.name);
    const { lost } = store.start;
    await store.close();
    return { code: 'no error', names, lost };
  } catch (error) {
    return { ...toErrorFields(error), names: [], lost: null };
  }
}

/** A connection of an old version that does not let go: ours must give up, and work once it is gone. */
async function oldTabBlocks(name: string) {
  await openRaw(name, 1, true);
  const notices: string[] = [];
  const open = () =>
    openIndexedDbBackend({ name, openTimeoutMs: 400, onNotice: (notice) => notices.push(notice) });
  const start = performance.now();
  // A third tab gets no event at all: only its own clock helps it.
  const [code, third] = await Promise.all([codeOf(open), codeOf(open)]);
  const ms = performance.now() - start;
  kept?.close();
  const backend = await open();
  return { code, third, ms, notices, opened: backend.meta.dbId !== '' };
}

/** Another tab brings a newer layout in the middle of a save: the save ends well, then this one lets go. */
async function newTabUpgrades(name: string) {
  const notices: string[] = [];
  const { store, writer } = await openRun(home(name, { onNotice: (notice) => notices.push(notice) }));
  let upgraded = 0;
  const upgrading = new Promise<void>((resolve) => {
    setTimeout(() => {
      void openRaw(name, 99, false).then((ms) => {
        upgraded = ms;
        resolve();
      });
    }, 0);
  });
  const saved = await codeOf(() => writer.save(testCheckpoint(1, {}, 400_000)));
  await upgrading;
  return { saved, upgraded, notices, after: await codeOf(() => store.list()) };
}

/** A browser that loses its database: how the store fares when the first so many transactions fail. */
async function losesConnection(name: string, errorName: string, failures: number) {
  const { store, runId, writer } = await openRun(home(name));
  const original = Object.getOwnPropertyDescriptor(IDBDatabase.prototype, 'transaction') ?? {};
  let left = failures;
  Object.defineProperty(IDBDatabase.prototype, 'transaction', {
    ...original,
    value(this: IDBDatabase, ...args: unknown[]): unknown {
      left -= 1;
      if (left < 0) return Reflect.apply(original.value as () => unknown, this, args);
      throw new DOMException('Connection to Indexed Database server lost', errorName);
    },
  });
  try {
    const code = await codeOf(() => writer.save(testCheckpoint(1)));
    left = 0;
    return { code, total: (await store.list({ runId })).total };
  } finally {
    Object.defineProperty(IDBDatabase.prototype, 'transaction', original);
    await store.close();
  }
}

/**
 * Saves once, then once more with a quota that may run out in the middle (the page's origin has it already). The
 * records are large, so that each write of the save takes a share of its own. `wall` counts how far it got: 0 not even
 * the first save, 1 the journal failed, 2 the chunks, 3 the commit, 4 the note that all was read back, 5 nothing.
 */
async function fullSomewhere(name: string) {
  const calls: string[] = [];
  const phases: string[] = [];
  const backend = async (): Promise<StoreBackend> => {
    const watched = watchWrites(await openIndexedDbBackend({ name }), (call) => {
      calls.push(call);
      return Promise.resolve();
    });
    // Else the save is refused before its first write, which is right but not what is looked at here.
    return new Proxy(watched, {
      get: (target, key) => (key === 'estimate' ? () => Promise.resolve(null) : Reflect.get(target, key)),
    });
  };
  const first = testCheckpoint(1);
  const opened = await openRun({ backend })
    .then(async (run) => ({ ...run, good: (await run.writer.save(first)).checkpoint }))
    .catch(toErrorFields);
  if ('code' in opened) return { wall: 0, error: opened };
  const { store, runId, writer, good } = opened;
  calls.length = 0;
  const large = testCheckpoint(2, { metadata: { long: 'x'.repeat(95_000) } }, 200_000);
  const saved = await writer.save(large, { onPhase: (phase) => phases.push(phase) }).catch(toErrorFields);
  await sameContent(store, good.id, first.parts);
  const names = (await store.list({ runId })).items.map((checkpoint) => checkpoint.name);
  const latest = (await store.latest(runId)).checkpoint?.name ?? null;
  await store.collectGarbage();
  const loose = await looseChunks(await home(name).backend());
  await store.close();
  if ('checkpoint' in saved) {
    return { wall: saved.checkpoint.verifiedAt === null ? 4 : 5, error: null, names, latest, loose };
  }
  const wall = phases.includes('stored') ? 3 : calls.includes('putChunks') ? 2 : 1;
  return { wall, error: saved, names, latest, loose };
}

/** Fills the store to the brim, and looks at what can still be done. */
async function fullToTheBrim(name: string) {
  const { backend, store, writer } = await openRun(home(name));
  const ids: string[] = [];
  let refused: ErrorFields | null = null;
  for (let bytes = 200_000, step = 1; bytes > 100; step++) {
    try {
      ids.push((await writer.save(testCheckpoint(step, {}, bytes))).checkpoint.id);
    } catch (thrown) {
      refused ??= toErrorFields(thrown);
      bytes = Math.floor(bytes / 2);
    }
  }
  const toBin = await codeOf(() => store.remove([ids[0] ?? ''], { force: true }));
  const forGood = await codeOf(() => store.remove([ids[1] ?? ''], { force: true, forGood: true }));
  const swept = await store.collectGarbage();
  const saved = await codeOf(() => writer.save(testCheckpoint(9999, {}, 20_000)));
  const loose = await looseChunks(backend);
  await store.close();
  return { saves: ids.length, refused, toBin, forGood, swept: swept.chunks, saved, loose };
}

/** Works until the browser is killed. Each line waits until the test has it, so that nothing promised is lost. */
const work = (name: string, seed: number): Promise<never> =>
  churn(home(name), seed, (line) => globalThis.report(line));

export const inBrowser = {
  work,
  inspect: (name: string) => inspectStore(home(name)),
  cases: () => [...cases.keys()],
  runCase,
  take,
  save,
  listed,
  notices: () => held?.notices ?? [],
  openRaw,
  halfUpgrade,
  openAndList,
  oldTabBlocks,
  newTabUpgrades,
  losesConnection,
  fullSomewhere,
  fullToTheBrim,
  timeListing: async (name: string) => timeListing(home(`${name} empty`), home(`${name} full`)),
};
Object.assign(globalThis, { inBrowser });
