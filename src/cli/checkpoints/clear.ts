/** Commands that make room, and undo it: delete, bin, restore, prune. */
import { StudioError } from '../../errors.ts';
import type { CheckpointStore } from '../../storage/checkpoint-store.ts';
import { bytesOnlyIn, type CheckpointRecord } from '../../storage/records.ts';
import { protectedOnes, type RetentionPolicy } from '../../storage/retention.ts';
import { bytes, quoted, table } from '../words.ts';
import { allOf, named, recordOf, withStore } from './open.ts';
import { binTable } from './print.ts';
import type { CheckpointCommands, PruneOptions } from './program.ts';

/** What a deletion takes: single checkpoints, and whole runs. */
interface Chosen {
  records: CheckpointRecord[];
  single: CheckpointRecord[];
  runIds: string[];
}

async function chosen(store: CheckpointStore, paths: readonly string[]): Promise<Chosen> {
  const single = new Map<string, CheckpointRecord>();
  const runIds = new Set<string>();
  for (const path of paths) {
    if (!path.includes('/')) runIds.add((await store.findRun(path)).id);
    else {
      const record = await recordOf(store, path);
      single.set(record.id, record);
    }
  }
  const alone = [...single.values()].filter(({ runId }) => !runIds.has(runId));
  const ofRuns = (await allOf(store)).filter(({ runId }) => runIds.has(runId));
  return { records: [...alone, ...ofRuns], single: alone, runIds: [...runIds] };
}

const WHY = {
  pinned: 'it is pinned: unpin it, or use --force',
  'last-good': 'it is the last good one of its run: delete the whole run, or use --force',
  'newer-unverified': 'a newer one is not verified: verify that one, or use --force',
  'delta-base': 'others are stored as their difference to it: delete those as well',
} as const;
type Protection = keyof typeof WHY;

/** Why a checkpoint may not go; null where it may. */
function protection(
  record: CheckpointRecord,
  { records, runIds }: Chosen,
  all: readonly CheckpointRecord[],
  force: boolean,
): Protection | null {
  const goes = new Set(records.map(({ id }) => id));
  const resting = all.some(({ id, delta }) => delta?.baseId === record.id && !goes.has(id));
  if (resting) return 'delta-base';
  if (force) return null;
  const guarded = [...protectedOnes(all)].find(([{ id }]) => id === record.id)?.[1];
  const rules: Protection[] = runIds.includes(record.runId)
    ? ['pinned']
    : ['pinned', 'last-good', 'newer-unverified'];
  return rules.find((rule) => guarded?.has(rule) === true) ?? null;
}

function pruning({ keepLatest, keepBest, keepEvery, metric }: PruneOptions): RetentionPolicy {
  return {
    ...(keepLatest === undefined ? {} : { keepLatest }),
    ...(keepBest === undefined ? {} : { keepBest: { count: keepBest, metric, direction: 'min' } }),
    ...(keepEvery === undefined ? {} : { keepEvery }),
  };
}

function removedText(removed: {
  dryRun: boolean;
  names: readonly string[];
  bytes: number;
  refused: readonly { path: string; why: string }[];
  undo: readonly string[];
}): string {
  const { dryRun, names, undo } = removed;
  const what = `${names.join(', ') || 'nothing'}; ${bytes(removed.bytes)} once the bin is emptied`;
  return table([
    [dryRun ? 'Would go to the bin' : 'In the bin', what],
    ...removed.refused.map(({ path, why }): [string, string] => ['Would stay', `${path}: ${why}`]),
    ...(dryRun || undo.length === 0
      ? []
      : [['To undo', `lorikeet checkpoints restore ${undo.map(quoted).join(' ')}`] as const]),
  ]);
}

export const clearCommands: Pick<CheckpointCommands, 'remove' | 'bin' | 'restore' | 'prune'> = {
  remove: async (paths, options) => {
    await withStore(
      options,
      async (store) => {
        const { force, dryRun } = options;
        const going = await chosen(store, paths);
        const all = await allOf(store);
        const reasons = going.records.map((record) => protection(record, going, all, force));
        const names = await named(store, going.records);
        const refused = reasons.flatMap((reason, i) =>
          reason === null ? [] : [{ path: names[i] ?? '', why: WHY[reason] }],
        );
        if (refused.length > 0 && !dryRun) {
          throw new StudioError({
            code: 'CHECKPOINT_PROTECTED',
            message: `Nothing was deleted. ${refused.map(({ path, why }) => `${path}: ${why}`).join('; ')}.`,
            fix: 'Leave these out, or do what is said of them.',
          });
        }
        const goes = going.records.filter((_, i) => reasons[i] === null);
        const ids = new Set(goes.map(({ id }) => id));
        const size = bytesOnlyIn(
          goes,
          all.filter(({ id }) => !ids.has(id)),
        );
        if (!dryRun) {
          const single = going.single.map(({ id }) => id);
          await store.remove(single, force ? { force } : {});
          for (const id of going.runIds) await store.removeRun(id);
        }
        return {
          dryRun,
          names: names.filter((_, i) => reasons[i] === null),
          bytes: size,
          refused,
          undo: [...(await named(store, going.single)), ...going.runIds],
        };
      },
      removedText,
    );
  },
  bin: async (options) => {
    await withStore(
      options,
      async (store) => {
        const binned = await store.bin();
        const paths = await named(
          store,
          binned.map(({ checkpoint }) => checkpoint),
        );
        const { binBytes } = await store.sizes();
        if (options.empty) await store.emptyBin('all');
        return {
          emptied: options.empty,
          bytes: binBytes,
          items: binned.map(({ id, deletedAt, reason, checkpoint: { size } }, i) => {
            return { id, path: paths[i] ?? id, deletedAt, reason, size };
          }),
        };
      },
      binTable,
    );
  },
  restore: async (paths, options) => {
    await withStore(
      options,
      async (store) => {
        const runs = new Map((await store.runs()).map(({ id, name }) => [id, name]));
        const binned = await store.bin();
        const found = paths.flatMap((path) => {
          const ofRun = binned.filter(
            ({ checkpoint: { runId } }) => runId === path || runs.get(runId) === path,
          );
          // Of several that had the same name, the one that was deleted last.
          const one = binned.find(
            ({ id, checkpoint: { runId, name } }) =>
              id === path || `${runId}/${name}` === path || `${runs.get(runId) ?? ''}/${name}` === path,
          );
          const ids = one === undefined ? ofRun.map(({ id }) => id) : [one.id];
          if (ids.length > 0) return ids;
          throw new StudioError({
            code: 'CHECKPOINT_NOT_FOUND',
            message: `There is no ${path} in the bin.`,
            fix: 'Choose one that `lorikeet checkpoints bin` lists.',
          });
        });
        await store.restore(found);
        const back = (await allOf(store)).filter(({ id }) => found.includes(id));
        return { restored: await named(store, back) };
      },
      ({ restored }) => `Back on the list: ${restored.join(', ')}\n`,
    );
  },
  prune: async (path, options) => {
    await withStore(
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
            `${remove.map(({ name, reason }) => `${name} (${reason})`).join(', ') || 'nothing'}; ${bytes(size)} once the bin is emptied`,
          ],
          ['Stay', keep.map(({ name, reasons }) => `${name} (${reasons.join(', ')})`).join(', ') || 'none'],
        ]),
    );
  },
};
