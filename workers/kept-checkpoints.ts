/** The store of checkpoints as the page uses it: opened once, listed, changed; sentences about what was found. */
import { storeDecoders } from '../src/checkpoints/encodings.ts';
import { StudioError } from '../src/errors.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import { openIndexedDbBackend } from '../src/storage/indexeddb-backend.ts';
import { openCheckpointStore } from '../src/storage/open-store.ts';
import type { CheckpointRecord } from '../src/storage/records.ts';
import type { RetentionPlan } from '../src/storage/retention.ts';
import { dropRunFiles } from '../src/storage/run-files.ts';
import type {
  CheckpointChange,
  CheckpointRow,
  ListQuery,
  PrunePlan,
  RetentionPolicy,
  StoreView,
} from './checkpoints-api.ts';
import { binRow, checkpointRow, namesOf, runRow, startNotices, type Names } from './rows.ts';

/** More than anybody keeps. */
const EVERYTHING = 1_000_000;

export class KeptCheckpoints {
  #opening: Promise<CheckpointStore> | null = null;
  #sentinel: string | null = null;
  #notices: string[] = [];

  /** The store, opened on first use; after a failure it is tried again. Throws STORE_FAILED, STORE_FULL or STORE_NEWER. */
  store(): Promise<CheckpointStore> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<CheckpointStore> {
    const backend = await openIndexedDbBackend({
      onNotice: (notice) => {
        if (notice !== 'closing') return;
        this.#opening = null;
        this.#notices.push('A newer version of the studio was opened in another tab. Reload this page.');
      },
    });
    const decoders = storeDecoders((id) => store.open(id));
    const store: CheckpointStore = await openCheckpointStore(backend, {
      decoders,
      sentinel: {
        read: () => this.#sentinel,
        write: (text) => {
          this.#sentinel = text;
        },
      },
    });
    this.#notices.push(...startNotices(store.start));
    await dropRunFiles(new Set((await store.runs()).map(({ id }) => id))).catch(() => undefined);
    return store;
  }

  /** Everything that the page lists. */
  async view(query: ListQuery, sentinel: string | null): Promise<StoreView> {
    if (this.#opening === null) this.#sentinel = sentinel;
    const store = await this.store();
    const [runs, all, page, bin, sizes, space, busy] = await Promise.all([
      store.runs(),
      store.list({ limit: EVERYTHING }),
      store.list(query),
      store.bin(),
      store.sizes(),
      store.estimate(),
      runsBeingWritten(),
    ]);
    const names = namesOf(runs, [...all.items, ...bin.map(({ checkpoint }) => checkpoint)]);
    const persisted = 'storage' in navigator && (await navigator.storage.persisted());
    return {
      runs: runs.map((run) => runRow(run, all.items, sizes, busy.has(run.id), names)),
      items: page.items.map((record) => checkpointRow(record, names)),
      total: page.total,
      offset: page.offset,
      nextOffset: page.nextOffset,
      totalBytes: sizes.totalBytes,
      binBytes: sizes.binBytes,
      bin: bin.map((tombstone) => binRow(tombstone, names)),
      space: space === null ? null : { ...space, persisted },
      notices: [...new Set(this.#notices)],
      sentinel: this.#sentinel,
    };
  }

  /** The row of one checkpoint. */
  async row(record: CheckpointRecord): Promise<CheckpointRow> {
    return checkpointRow(record, await this.#names());
  }

  async #names(): Promise<Names> {
    const store = await this.store();
    return namesOf(await store.runs(), (await store.list({ limit: EVERYTHING })).items);
  }

  async change(id: string, change: CheckpointChange): Promise<void> {
    await (await this.store()).update(id, change);
  }

  async remove(ids: string[], options: { force?: boolean }): Promise<void> {
    await (await this.store()).remove(ids, options);
  }

  async restore(ids: string[]): Promise<void> {
    await (await this.store()).restore(ids);
  }

  async emptyBin(): Promise<{ bytes: number }> {
    const store = await this.store();
    const { binBytes } = await store.sizes();
    await store.emptyBin('all');
    return { bytes: binBytes };
  }

  async planPrune(runId: string, policy: RetentionPolicy): Promise<PrunePlan> {
    return this.#planned(await (await this.store()).planPrune(runId, policy));
  }

  async prune(runId: string, policy: RetentionPolicy): Promise<PrunePlan> {
    return this.#planned(await (await this.store()).prune(runId, policy));
  }

  async #planned({ remove, keep, bytes }: RetentionPlan): Promise<PrunePlan> {
    const names = await this.#names();
    return {
      remove: remove.map(({ checkpoint, reason }) => ({
        checkpoint: checkpointRow(checkpoint, names),
        reason,
      })),
      keep: keep.map(({ checkpoint, reasons }) => ({
        checkpoint: checkpointRow(checkpoint, names),
        reasons: [...reasons],
      })),
      bytes,
    };
  }

  async verify(id: string): Promise<{ damage: string | null }> {
    const { damage } = await (await this.store()).verify(id);
    return { damage: damage?.problem ?? null };
  }
}

/** Runs whose writer's lock some tab holds. */
async function runsBeingWritten(): Promise<Set<string>> {
  const { held } = await navigator.locks.query();
  const ids = (held ?? []).flatMap(({ name }) => {
    const [, id] = /:run-(.+)$/.exec(name ?? '') ?? [];
    return id === undefined ? [] : [id];
  });
  return new Set(ids);
}

/** The error for a call that needs a run that trains. */
export function noRun(): StudioError {
  return new StudioError({
    code: 'OPTION_INVALID',
    message: 'No run is training, so there is nothing to save.',
    fix: 'Start a run first.',
  });
}
