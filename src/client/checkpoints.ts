/** What the page does with kept checkpoints; the store mirrors what the worker says. */
import { proxy } from 'comlink';
import type { Progress } from '../../workers/api.ts';
import type {
  CheckpointChange,
  CheckpointRow,
  ExportKind,
  ListQuery,
  RetentionPolicy,
} from '../../workers/checkpoints-api.ts';
import { DOING, DONE } from '../stores/kept-notes.ts';
import { keptStore, PAGE_ROWS } from '../stores/kept-store.ts';
import { offerFile } from './download.ts';
import { callWorker } from './studio-client.ts';
import { readWireError } from './wire-error.ts';

/** Outlives the store, so that a store that the browser threw away is told from a new one. */
const SENTINEL = 'lorikeet-store';

function readSentinel(): string | null {
  try {
    return localStorage.getItem(SENTINEL);
  } catch {
    return null;
  }
}

function writeSentinel(text: string | null): void {
  try {
    if (text !== null) localStorage.setItem(SENTINEL, text);
  } catch {
    // Forbidden by the browser's settings; the store works without.
  }
}

/** Asks the worker for the list as it is now. */
export async function refreshKept(change: Partial<ListQuery> = {}): Promise<void> {
  keptStore.setState(({ query }) => ({ query: { ...query, ...change } }));
  try {
    const view = await callWorker((api) => api.storeView(keptStore.getState().query, readSentinel()));
    writeSentinel(view.sentinel);
    const there = new Set(view.items.map(({ id }) => id));
    keptStore.setState(({ marked }) => ({ view, marked: marked.filter((id) => there.has(id)) }));
  } catch (thrown) {
    keptStore.setState({ error: readWireError(thrown) });
  }
}

/** Shows the rows that match; from the first page on. */
export function filterKept(change: Partial<ListQuery>): void {
  void refreshKept({ limit: PAGE_ROWS, offset: 0, ...change });
}

/** Does one thing after another is over; shows its progress, what came of it, and the list anew. */
export async function doKept<T>(
  what: string,
  work: (onProgress: (progress: Progress) => void) => Promise<T>,
  after: (result: T) => Partial<ReturnType<typeof keptStore.getState>> = () => ({}),
  cancel: (() => void) | null = null,
): Promise<void> {
  if (keptStore.getState().busy !== null) return;
  keptStore.setState({ busy: { what, progress: null, cancel }, error: null, done: null });
  const tell = proxy((progress: Progress) => keptStore.setState({ busy: { what, progress, cancel } }));
  try {
    const result = await work(tell);
    keptStore.setState({ busy: null, ...after(result) });
  } catch (thrown) {
    const error = readWireError(thrown);
    keptStore.setState({ busy: null, error: error.code === 'CANCELLED' ? null : error });
  }
  await refreshKept();
}

export const changeCheckpoint = (id: string, change: CheckpointChange): Promise<void> =>
  doKept(DOING.changing(), () => callWorker((api) => api.changeCheckpoint(id, change)));

export function removeCheckpoints(ids: readonly string[], force = false): Promise<void> {
  return doKept(
    DOING.deleting(),
    () => callWorker((api) => api.removeCheckpoints([...ids], force ? { force } : {})),
    () => ({ done: DONE.deleted(ids.length), marked: [], open: null }),
  );
}

export const restoreCheckpoints = (ids: readonly string[]): Promise<void> =>
  doKept(DOING.restoring(), () => callWorker((api) => api.restoreCheckpoints([...ids])));

export const emptyBin = (): Promise<void> =>
  doKept(
    DOING.emptying(),
    () => callWorker((api) => api.emptyBin()),
    ({ bytes }) => ({ done: DONE.freed(bytes) }),
  );

export const planPrune = (runId: string, policy: RetentionPolicy): Promise<void> =>
  doKept(
    DOING.looking(),
    () => callWorker((api) => api.planPrune(runId, policy)),
    (plan) => ({ prune: { runId, plan } }),
  );

export const prune = (runId: string, policy: RetentionPolicy): Promise<void> =>
  doKept(
    DOING.deleting(),
    () => callWorker((api) => api.prune(runId, policy)),
    ({ remove }) => ({ prune: null, done: DONE.deleted(remove.length) }),
  );

export const verifyCheckpoint = (row: CheckpointRow): Promise<void> =>
  doKept(
    DOING.verifying(),
    () => callWorker((api) => api.verifyCheckpoint(row.id)),
    ({ damage }) => ({ done: DONE.verified(row.name, damage) }),
  );

export const compareCheckpoints = (a: CheckpointRow, b: CheckpointRow): Promise<void> =>
  doKept(
    DOING.comparing(),
    () => callWorker((api) => api.compare(a.id, b.id)),
    (result) => ({ comparison: { names: [a.name, b.name], result } }),
  );

export const exportCheckpoint = (row: CheckpointRow, kind: ExportKind): Promise<void> =>
  doKept(
    DOING.packing(row.name),
    async (onProgress) => {
      const what = { kind, dtype: 'F32' as const };
      return offerFile(await callWorker((api) => api.exportCheckpoint(row.id, what, onProgress)));
    },
    ({ name, bytes }) => ({ done: DONE.packed(name, bytes) }),
    cancelTransfer,
  );

/** Ends the packing or adding that is under way in the worker. */
export function cancelTransfer(): void {
  void callWorker((api) => api.cancelTransfer());
}

/** Saves the run that is training or held, under a name of the person's. */
export const saveNow = (name: string): Promise<void> =>
  doKept(
    DOING.saving(),
    () => callWorker((api) => api.saveNow(name === '' ? {} : { name })),
    (row) => ({ done: DONE.saved(row.name) }),
  );

/** Asks the browser not to throw the data away when space runs low; some browsers ask the person. */
export async function keepData(): Promise<void> {
  if ('storage' in navigator) await navigator.storage.persist();
  await refreshKept();
}
