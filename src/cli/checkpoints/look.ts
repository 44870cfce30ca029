/** Commands that only look: list, show, verify, compare. */
import { compareCheckpoints } from '../../checkpoints/compare.ts';
import { serverObstacles } from '../../checkpoints/server-fit.ts';
import { StudioError } from '../../errors.ts';
import type { CheckpointStore } from '../../storage/checkpoint-store.ts';
import type { ListQuery } from '../../storage/list.ts';
import { count, table } from '../words.ts';
import { allOf, named, recordOf, withStore } from './open.ts';
import { checkpointTable, comparisonText, detailRows, plain } from './print.ts';
import type { CheckpointCommands, ListOptions } from './program.ts';
import { serverRows } from './server.ts';

const KEYS = ['saved', 'step', 'name', 'size'] as const;

function queryOf(options: ListOptions, runId: string | undefined): ListQuery {
  const { kind, tag, text, minStep, maxStep, metric, min, max, sort, order, limit, offset } = options;
  const known = KEYS.find((key) => key === sort);
  const between = { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
  return {
    ...(runId === undefined ? {} : { runId }),
    ...(kind === undefined ? {} : { kind }),
    ...(tag.length === 0 ? {} : { tags: tag }),
    ...(text === undefined ? {} : { text }),
    ...(minStep === undefined ? {} : { minStep }),
    ...(maxStep === undefined ? {} : { maxStep }),
    ...(metric === undefined ? {} : { metric: { name: metric, ...between } }),
    sort: known ?? { metric: sort },
    ...(order === undefined ? {} : { order }),
    limit,
    offset,
  };
}

/** Bounds without a figure, and an order by a figure that nothing has, would be passed over in silence. */
async function checkQuery(store: CheckpointStore, options: ListOptions): Promise<void> {
  const { metric, min, max, sort } = options;
  if (metric === undefined && (min !== undefined || max !== undefined)) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `--${min === undefined ? 'max' : 'min'} is given without --metric.`,
      fix: 'Say which figure with --metric; for steps there are --min-step and --max-step.',
    });
  }
  if (KEYS.some((key) => key === sort)) return;
  const figures = new Set((await allOf(store)).flatMap(({ metrics }) => Object.keys(metrics)));
  if (figures.size === 0 || figures.has(sort)) return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `--sort is ${JSON.stringify(sort)}; no checkpoint has such a figure.`,
    fix: `Use ${[...KEYS, ...[...figures].sort()].join(', ')}.`,
  });
}

export const lookCommands: Pick<CheckpointCommands, 'list' | 'show' | 'verify' | 'compare'> = {
  list: async (options) => {
    await withStore(
      options,
      async (store) => {
        await checkQuery(store, options);
        const run = options.run === undefined ? undefined : await store.findRun(options.run);
        const page = await store.list(queryOf(options, run?.id));
        const [runs, sizes] = [await store.runs(), await store.sizes()];
        const server = options.server === undefined ? null : await serverRows(options.server);
        return {
          ...(server === null ? {} : { server }),
          items: page.items.map(plain),
          total: page.total,
          nextOffset: page.nextOffset,
          runs: runs.map(({ id, name }) => ({ id, name, ...sizes.runs.get(id) })),
          totalBytes: sizes.totalBytes,
          binBytes: sizes.binBytes,
        };
      },
      checkpointTable,
    );
  },
  show: async (path, options) => {
    await withStore(
      options,
      async (store) => {
        const record = await recordOf(store, path);
        const { ancestors, children, missingParentId } = await store.lineage(record.id);
        return {
          ...plain(record),
          serverObstacles: serverObstacles(record.about?.lora),
          path: (await named(store, [record]))[0] ?? record.name,
          ancestors: await named(store, ancestors),
          children: await named(store, children),
          missingParentId,
        };
      },
      (shown) => table(detailRows(shown)),
    );
  },
  verify: async (path, options) => {
    const { damaged, whole } = await withStore(
      options,
      async (store) => {
        const records =
          path?.includes('/') === true
            ? [await recordOf(store, path)]
            : await allOf(store, path === undefined ? undefined : (await store.findRun(path)).id);
        const checked = [];
        for (const { id } of records) checked.push(await store.verify(id));
        const bad = checked.filter(({ damage }) => damage !== null);
        const names = await named(store, bad);
        return {
          whole: await named(
            store,
            checked.filter(({ damage }) => damage === null),
          ),
          damaged: bad.map(({ damage }, i) => ({ path: names[i] ?? '', problem: damage?.problem ?? '' })),
        };
      },
      ({ whole: good }) => `Every byte of ${count(good.length)} checkpoints is what was written.\n`,
    );
    if (damaged.length === 0) return;
    throw new StudioError({
      code: 'CHECKPOINT_DAMAGED',
      message: `${damaged.map(({ path: of, problem }) => `${of} (${problem})`).join(', ')}: damaged; ${String(whole.length)} are whole.`,
      fix: 'Resuming passes over them. Import an export of them again, or delete them.',
    });
  },
  compare: async (a, b, options) => {
    await withStore(
      options,
      async (store) => {
        const [left, right] = [await recordOf(store, a), await recordOf(store, b)];
        const [x, y] = [await store.open(left.id), await store.open(right.id)];
        const [first = a, second = b] = await named(store, [left, right]);
        return { a: first, b: second, ...(await compareCheckpoints(x.files(), y.files())) };
      },
      comparisonText,
    );
  },
};
