/** What `lorikeet checkpoints ...` does: each command opens the folder, does one thing, prints it. */
import { compareCheckpoints } from '../../checkpoints/compare.ts';
import { exportEntries } from '../../checkpoints/export-checkpoint.ts';
import { importCheckpoint } from '../../checkpoints/import-checkpoint.ts';
import { StudioError } from '../../errors.ts';
import type { CheckpointStore } from '../../storage/checkpoint-store.ts';
import type { ListQuery } from '../../storage/list.ts';
import { checkTarget, openPath } from '../../storage/node-fs.ts';
import type { CheckpointRecord } from '../../storage/records.ts';
import type { RetentionPolicy } from '../../storage/retention.ts';
import { openStore } from '../keeping.ts';
import { writeExport } from '../sources.ts';
import { bytes, count, table } from '../words.ts';
import { binTable, checkpointTable, comparisonText, detailRows, plain } from './print.ts';
import type { CheckpointCommands, KeptOptions, ListOptions, PruneOptions } from './program.ts';

const note = (text: string): void => void process.stderr.write(`${text}\n`);
const print = (text: string): void => void process.stdout.write(text);

/** Opens the folder, which must be there, does the work, and prints what it gives: as JSON or as text. */
async function withStore<T>(
  { store: folder, json }: KeptOptions,
  work: (store: CheckpointStore) => Promise<T>,
  text: (result: T) => string,
  create = false,
): Promise<void> {
  const store = await openStore(folder, create, note);
  try {
    const result = await work(store);
    print(json ? `${JSON.stringify(result)}\n` : text(result));
  } finally {
    await store.close();
  }
}

/** The checkpoint of `RUN/NAME`, or the newest of `RUN`. */
async function recordOf(store: CheckpointStore, path: string): Promise<CheckpointRecord> {
  const slash = path.indexOf('/');
  const run = await store.findRun(slash < 0 ? path : path.slice(0, slash));
  if (slash >= 0) return store.find(run.id, path.slice(slash + 1));
  const newest = (await store.list({ runId: run.id, limit: 1 })).items[0];
  if (newest !== undefined) return newest;
  throw new StudioError({
    code: 'CHECKPOINT_NOT_FOUND',
    message: `The run ${run.name} has no checkpoints.`,
    fix: 'List the runs and choose one of them.',
  });
}

/** `RUN/NAME` of each. */
async function named(store: CheckpointStore, records: readonly CheckpointRecord[]): Promise<string[]> {
  const runs = new Map((await store.runs()).map(({ id, name }) => [id, name]));
  return records.map(({ runId, name }) => `${runs.get(runId) ?? runId}/${name}`);
}

function queryOf(options: ListOptions, runId: string | undefined): ListQuery {
  const { kind, tag, text, minStep, maxStep, metric, min, max, sort, order, limit, offset } = options;
  const keys = ['saved', 'step', 'name', 'size'] as const;
  const known = keys.find((key) => key === sort);
  return {
    ...(runId === undefined ? {} : { runId }),
    ...(kind === undefined ? {} : { kind }),
    ...(tag.length === 0 ? {} : { tags: tag }),
    ...(text === undefined ? {} : { text }),
    ...(minStep === undefined ? {} : { minStep }),
    ...(maxStep === undefined ? {} : { maxStep }),
    ...(metric === undefined
      ? {}
      : {
          metric: {
            name: metric,
            ...(min === undefined ? {} : { min }),
            ...(max === undefined ? {} : { max }),
          },
        }),
    sort: known ?? { metric: sort },
    ...(order === undefined ? {} : { order }),
    limit,
    offset,
  };
}

function pruning({ keepLatest, keepBest, keepEvery, metric }: PruneOptions): RetentionPolicy {
  return {
    ...(keepLatest === undefined ? {} : { keepLatest }),
    ...(keepBest === undefined ? {} : { keepBest: { count: keepBest, metric, direction: 'min' } }),
    ...(keepEvery === undefined ? {} : { keepEvery }),
  };
}

function secondsOf(text: string): number | null {
  if (text === 'none') return null;
  const seconds = Number(text);
  if (text.trim() !== '' && seconds > 0) return seconds;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `${JSON.stringify(text)} is no time to live.`,
    fix: 'Use seconds above 0, or none.',
  });
}

async function change(
  path: string,
  options: KeptOptions,
  work: (store: CheckpointStore, record: CheckpointRecord) => Promise<CheckpointRecord>,
): Promise<void> {
  await withStore(
    options,
    async (store) => plain(await work(store, await recordOf(store, path))),
    ({ name }) => `Changed ${name}\n`,
  );
}

/** All records of what the paths name; a run's name stands for all its checkpoints. */
async function chosen(store: CheckpointStore, paths: readonly string[]): Promise<CheckpointRecord[]> {
  const records: CheckpointRecord[] = [];
  for (const path of paths) {
    if (path.includes('/')) records.push(await recordOf(store, path));
    else {
      const run = await store.findRun(path);
      records.push(...(await store.list({ runId: run.id, limit: 1e6 })).items);
    }
  }
  return records;
}

export const checkpointCommands: CheckpointCommands = {
  list: (options) =>
    withStore(
      options,
      async (store) => {
        const run = options.run === undefined ? undefined : await store.findRun(options.run);
        const page = await store.list(queryOf(options, run?.id));
        const [runs, sizes] = [await store.runs(), await store.sizes()];
        return {
          items: page.items.map(plain),
          total: page.total,
          nextOffset: page.nextOffset,
          runs: runs.map(({ id, name }) => ({ id, name, ...sizes.runs.get(id) })),
          totalBytes: sizes.totalBytes,
          binBytes: sizes.binBytes,
        };
      },
      checkpointTable,
    ),
  show: (path, options) =>
    withStore(
      options,
      async (store) => {
        const record = await recordOf(store, path);
        const { ancestors, children, missingParentId } = await store.lineage(record.id);
        return {
          ...plain(record),
          path: (await named(store, [record]))[0] ?? record.name,
          ancestors: await named(store, ancestors),
          children: await named(store, children),
          missingParentId,
        };
      },
      (shown) => table(detailRows(shown)),
    ),
  tag: (path, tags, options) =>
    change(path, options, (store, record) =>
      store.update(record.id, {
        tags: options.remove
          ? record.tags.filter((tag) => !tags.includes(tag))
          : [...new Set([...record.tags, ...tags])],
      }),
    ),
  pin: (path, pinned, options) => change(path, options, (store, { id }) => store.update(id, { pinned })),
  note: (path, text, options) => change(path, options, (store, { id }) => store.update(id, { note: text })),
  rename: (path, name, options) => change(path, options, (store, { id }) => store.update(id, { name })),
  ttl: (path, seconds, options) =>
    change(path, options, (store, { id }) => store.update(id, { ttlSeconds: secondsOf(seconds) })),
  remove: (paths, options) =>
    withStore(
      options,
      async (store) => {
        const { force, dryRun } = options;
        const records = await chosen(store, paths);
        const size = records.reduce((sum, record) => sum + record.size, 0);
        const names = await named(store, records);
        if (!dryRun) {
          const whole = paths.filter((path) => !path.includes('/'));
          const single = records.filter(
            (record) => !whole.some((path) => names.includes(`${path}/${record.name}`)),
          );
          await store.remove(
            single.map(({ id }) => id),
            force ? { force } : {},
          );
          for (const path of whole) await store.removeRun((await store.findRun(path)).id);
        }
        return { dryRun, names, bytes: size };
      },
      ({ dryRun, names, bytes: size }) =>
        `${dryRun ? 'Would go to the bin' : 'In the bin'}: ${names.join(', ') || 'nothing'} (${bytes(size)})\n`,
    ),
  bin: (options) =>
    withStore(
      options,
      async (store) => {
        const runs = new Map((await store.runs()).map(({ id, name }) => [id, name]));
        const binned = await store.bin();
        const { binBytes } = await store.sizes();
        if (options.empty) await store.emptyBin('all');
        return {
          emptied: options.empty,
          bytes: binBytes,
          items: binned.map(({ id, deletedAt, reason, checkpoint }) => ({
            id,
            path: `${runs.get(checkpoint.runId) ?? checkpoint.runId}/${checkpoint.name}`,
            deletedAt,
            reason,
            size: checkpoint.size,
          })),
        };
      },
      binTable,
    ),
  restore: (paths, options) =>
    withStore(
      options,
      async (store) => {
        const runs = new Map((await store.runs()).map(({ id, name }) => [id, name]));
        const binned = await store.bin();
        const ids = paths.map((path) => {
          const found = binned.find(
            ({ id, checkpoint: { runId, name } }) =>
              id === path || `${runId}/${name}` === path || `${runs.get(runId) ?? ''}/${name}` === path,
          );
          return found?.id ?? path;
        });
        await store.restore(ids);
        return { restored: paths };
      },
      ({ restored }) => `Back on the list: ${restored.join(', ')}\n`,
    ),
  prune: (path, options) =>
    withStore(
      options,
      async (store) => {
        const { id } = await store.findRun(path);
        const policy = pruning(options);
        const plan = options.dryRun ? await store.planPrune(id, policy) : await store.prune(id, policy);
        return {
          dryRun: options.dryRun,
          remove: plan.remove.map(({ checkpoint, reason }) => ({ name: checkpoint.name, reason })),
          keep: plan.keep.map(({ checkpoint, reasons }) => ({ name: checkpoint.name, reasons })),
          bytes: plan.bytes,
        };
      },
      ({ dryRun, remove, keep, bytes: size }) =>
        table([
          [
            dryRun ? 'Would go' : 'Went to the bin',
            `${remove.map(({ name, reason }) => `${name} (${reason})`).join(', ') || 'nothing'}; ${bytes(size)}`,
          ],
          ['Stay', keep.map(({ name, reasons }) => `${name} (${reasons.join(', ')})`).join(', ') || 'none'],
        ]),
    ),
  export: async (path, options) => {
    await checkTarget(options.out);
    await withStore(
      options,
      async (store) => {
        const record = await recordOf(store, path);
        const dtype = options.dtype === 'bf16' ? 'BF16' : 'F32';
        const entries = await exportEntries(await store.open(record.id), { kind: options.kind, dtype });
        await writeExport(options.out, entries);
        const size = entries.reduce((sum, entry) => sum + entry.size, 0);
        return {
          out: options.out,
          name: record.name,
          kind: options.kind,
          files: entries.length,
          bytes: size,
        };
      },
      ({ out, name, kind, files, bytes: size }) =>
        `Wrote ${name} (${kind}) to ${out}: ${count(files)} files, ${bytes(size)} unpacked\n`,
    );
  },
  import: (path, options) =>
    withStore(
      options,
      async (store) => {
        const { checkpoint, run, alreadyThere, notes } = await importCheckpoint(store, await openPath(path), {
          runName: options.run,
          name: options.name,
        });
        for (const text of notes) note(text);
        return { path: `${run.name}/${checkpoint.name}`, alreadyThere, ...plain(checkpoint) };
      },
      ({ path: added, alreadyThere }) => `${alreadyThere ? 'There already' : 'Added'}: ${added}\n`,
      true,
    ),
  verify: (path, options) =>
    withStore(
      options,
      async (store) => {
        const records =
          path === undefined
            ? (await store.list({ limit: 1e6 })).items
            : path.includes('/')
              ? [await recordOf(store, path)]
              : await chosen(store, [path]);
        const checked = [];
        for (const { id } of records) checked.push(await store.verify(id));
        const damaged = checked.filter(({ damage }) => damage !== null);
        if (damaged.length > 0) {
          throw new StudioError({
            code: 'CHECKPOINT_DAMAGED',
            message: `${(await named(store, damaged)).map((name, i) => `${name} (${damaged[i]?.damage?.problem ?? ''})`).join(', ')}: damaged; ${String(checked.length - damaged.length)} are whole.`,
            fix: 'Resuming passes over them. Import an export of them again, or delete them.',
          });
        }
        return { whole: await named(store, checked) };
      },
      ({ whole }) => `Every byte of ${count(whole.length)} checkpoints is what was written.\n`,
    ),
  compare: (a, b, options) =>
    withStore(
      options,
      async (store) => {
        const [left, right] = [await recordOf(store, a), await recordOf(store, b)];
        const [x, y] = [await store.open(left.id), await store.open(right.id)];
        return { a: left.name, b: right.name, ...(await compareCheckpoints(x.files(), y.files())) };
      },
      comparisonText,
    ),
};
