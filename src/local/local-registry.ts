/** Runs and checkpoints of this machine's store, whoever made them: programs, the studio, the command line. */
import type { BackendRegistry, SearchQuery } from '../api/backend.ts';
import { ConflictError, NotFoundError } from '../api/errors.ts';
import { UnsupportedFeatureError } from '../api/own-errors.ts';
import type { ParsedCheckpointPath } from '../api/paths.ts';
import type { Checkpoint, TrainingRun } from '../api/types.ts';
import { importCheckpoint } from '../checkpoints/import-checkpoint.ts';
import { writerOf } from '../checkpoints/training-run.ts';
import { memoryFileSet } from '../formats/file-set.ts';
import { readAdapterFolder } from '../formats/archive-read.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { CheckpointRecord, RunRecord } from '../storage/records.ts';
import { archiveOf } from './archive.ts';
import type { BaseLibrary } from './bases.ts';
import type { LocalShared } from './host.ts';
import { findRecord, nameOf, pathOf, PUBLIC_TAG, recordsOf, rowOf, typeOf } from './kept.ts';
import { loraOf } from './lora-settings.ts';
import { mapped } from './map-error.ts';
import { baseModelOf, readRecord, type ModelKeeper } from './model-keeper.ts';
import { restoreFrom } from './restore.ts';

/** Metadata of a run that is a promoted model. */
export const PROMOTED = 'promotedModel';
const LINK_SECONDS = 3600;

export function createLocalRegistry(
  shared: LocalShared,
  bases: BaseLibrary,
  keeperOf: (runId: string) => ModelKeeper | null,
): BackendRegistry {
  const opened = (): Promise<CheckpointStore> => shared.host.store();
  const withStore = <T>(work: (store: CheckpointStore) => Promise<T>): Promise<T> =>
    mapped(async () => work(await opened()));
  const withRecord = <T>(
    path: ParsedCheckpointPath,
    work: (store: CheckpointStore, record: CheckpointRecord) => Promise<T>,
  ): Promise<T> => withStore(async (store) => work(store, await findRecord(store, path)));

  const runOf = async (store: CheckpointStore, runId: string): Promise<RunRecord> => {
    const found = (await store.runs()).find(({ id }) => id === runId);
    if (found !== undefined) return found;
    throw new NotFoundError({ message: `There is no run ${runId} in ${store.label}.` }, 'RUN_NOT_FOUND');
  };

  const toRun = async (store: CheckpointStore, run: RunRecord): Promise<TrainingRun> => {
    const records = (await recordsOf(store, run.id)).sort((a, b) => a.sequence - b.sequence);
    const last = records.findLast((record) => typeOf(record) === 'training');
    const lastSampler = records.findLast((record) => typeOf(record) === 'sampler');
    const rank = records.at(-1)?.about?.lora.r;
    return {
      trainingRunId: run.id,
      baseModel: run.baseId ?? '',
      modelOwner: 'local',
      isLora: true,
      corrupted: records.length > 0 && records.every(({ damage }) => damage !== null),
      ...(rank === undefined ? {} : { loraRank: rank }),
      lastRequestTime: run.updatedAt,
      ...(last === undefined ? {} : { lastCheckpoint: rowOf(last) }),
      ...(lastSampler === undefined ? {} : { lastSamplerCheckpoint: rowOf(lastSampler) }),
      userMetadata: { ...run.metadata },
    };
  };

  const rows = async (store: CheckpointStore, runId?: string): Promise<Checkpoint[]> => {
    const records = await recordsOf(store, runId);
    const all = runId === undefined ? records : await recordsOf(store);
    const paths = new Map(all.map((record) => [record.id, pathOf(record)]));
    return records.map((record) => rowOf(record, paths.get(record.parentId ?? '')));
  };

  return {
    getTrainingRun: (runId) => withStore(async (store) => toRun(store, await runOf(store, runId))),

    listTrainingRuns: ({ limit, offset }) =>
      withStore(async (store) => {
        const all = await store.runs();
        const page = all.slice(offset, offset + limit);
        const trainingRuns = await Promise.all(page.map((run) => toRun(store, run)));
        return { trainingRuns, cursor: { offset, limit, totalCount: all.length } };
      }),

    weightsInfo: (path) =>
      mapped(async () => {
        const request = { path, optimizer: false, weightsAccessToken: null };
        const { state } = await readRecord(shared, request);
        const baseModel = baseModelOf(state, path.path);
        const { config } = await bases.describe(baseModel);
        const { lora, targetModules } = loraOf(config, state.adapter.settings);
        return {
          baseModel,
          isLora: true,
          loraRank: lora.rank,
          alpha: lora.alpha,
          trainMlp: lora.trainMlp,
          trainAttn: lora.trainAttn,
          trainUnembed: lora.trainUnembed,
          ...(targetModules === null ? {} : { targetModules }),
        };
      }),

    listCheckpoints: (runId) =>
      withStore(async (store) => {
        // A model that has saved nothing yet has a run all the same.
        if (keeperOf(runId) === null) await runOf(store, runId);
        return rows(store, runId);
      }),

    listUserCheckpoints: ({ limit, offset }) =>
      withStore(async (store) => {
        const all = await rows(store);
        const checkpoints = all.slice(offset, offset + limit);
        return { checkpoints, cursor: { offset, limit, totalCount: all.length } };
      }),

    searchCheckpoints: (query) =>
      withStore(async (store) => {
        const runs = new Map((await store.runs()).map((run) => [run.id, run]));
        const found = (await recordsOf(store)).filter((record) =>
          matches(record, runs.get(record.runId), query),
        );
        return { checkpoints: found.map((record) => rowOf(record)) };
      }),

    deleteCheckpoint: (path) =>
      withRecord(path, async (store, record) => {
        if (record.pinned) {
          throw new ConflictError({
            message: `${path.path} is pinned, so it was not deleted.`,
            fix: 'Unpin it first.',
          });
        }
        // Asked for by its path: also the last one of a run goes, to the bin, from where the studio brings it back.
        await store.remove([record.id], { force: true });
      }),

    setPublic: (path, value) =>
      withRecord(path, async (store, record) => {
        const others = record.tags.filter((tag) => tag !== PUBLIC_TAG);
        await store.update(record.id, { tags: value ? [...others, PUBLIC_TAG] : others });
      }),

    setTtl: (path, seconds) =>
      withRecord(path, async (store, record) => {
        await store.update(record.id, { ttlSeconds: seconds });
      }),

    setPinned: (path, pinned) =>
      withRecord(path, async (store, record) => {
        await store.update(record.id, { pinned });
      }),

    archiveUrl: (path) =>
      withRecord(path, async (store, record) => {
        const request = { from: 0, format: null, layout: null } as const;
        const { body } = await archiveOf(await store.open(record.id), request);
        const url = URL.createObjectURL(await new Response(body).blob());
        const timer = setTimeout(() => {
          URL.revokeObjectURL(url);
        }, LINK_SECONDS * 1000);
        // In Node a timer keeps the program alive, in browsers it is a number.
        (timer as { unref?: () => void }).unref?.();
        return { url, expires: new Date(Date.now() + LINK_SECONDS * 1000).toISOString() };
      }),

    download: (path, request) =>
      withRecord(path, async (store, record) => archiveOf(await store.open(record.id), request)),

    restore: (path, body, row) =>
      withStore(async (store) => {
        await restoreFrom({ store, keeper: keeperOf(path.runId) }, path, body, row);
      }),

    promote: (path, outputModelId) =>
      withRecord(path, async (store, record) => {
        const taken = (await store.runs()).some(({ metadata }) => metadata[PROMOTED] === outputModelId);
        if (taken) throw new ConflictError({ message: `There is a model ${outputModelId} already.` });
        await copyRecord(store, record, {
          name: outputModelId,
          checkpoint: nameOf(record),
          metadata: { [PROMOTED]: outputModelId, promotedFrom: pathOf(record) },
          ttlSeconds: null,
        });
        return { modelId: outputModelId };
      }),

    listModels: () =>
      withStore(async (store) =>
        (await store.runs()).flatMap(({ metadata, baseId, createdAt }) => {
          const modelId = metadata[PROMOTED];
          return modelId === undefined ? [] : [{ modelId, baseModel: baseId ?? '', createTime: createdAt }];
        }),
      ),

    copyWeights: (path, { ttlSeconds }) =>
      withRecord(path, async (store, record) => {
        const copy = await copyRecord(store, record, {
          name: `copy-of-${nameOf(record)}`,
          checkpoint: nameOf(record),
          metadata: { copiedFrom: pathOf(record) },
          ttlSeconds,
        });
        return pathOf(copy);
      }),

    storageUsage: () =>
      withStore(async (store) => {
        const [sizes, space] = await Promise.all([store.sizes(), store.estimate()]);
        return {
          usedBytes: sizes.totalBytes,
          quotaBytes: space?.quota ?? null,
          freeBytes: space === null ? null : Math.max(0, space.quota - space.usage),
          byRun: Object.fromEntries([...sizes.runs].map(([id, { bytes }]) => [id, bytes])),
        };
      }),

    importAdapter: (files, { name }) =>
      withStore(async (store) => {
        const copies = new Map([...files].map(([path, bytes]) => [path, bytes.slice()]));
        const { checkpoint } = await importCheckpoint(store, memoryFileSet(name, copies), {
          name,
          runName: name,
          weightsOnly: true,
        });
        return { path: pathOf(checkpoint) };
      }),

    service: ({ kind }) =>
      Promise.reject(
        new UnsupportedFeatureError({
          feature: kind,
          backend: 'This machine',
          why: 'there is no service with sessions and bills',
        }),
      ),
  };
}

/** The same files in a run of their own; the store keeps equal bytes once. */
async function copyRecord(
  store: CheckpointStore,
  record: CheckpointRecord,
  {
    name,
    checkpoint,
    metadata,
    ttlSeconds,
  }: { name: string; checkpoint: string; metadata: Record<string, string>; ttlSeconds: number | null },
): Promise<CheckpointRecord> {
  const stored = await store.open((await store.verify(record.id)).id);
  const entries = stored.entries().filter(({ path }) => path !== 'checkpoint.json');
  const files = await readAdapterFolder(stored.files());
  const run = await store.createRun({
    name,
    baseId: record.about?.base.id ?? files.adapter.baseModel,
    metadata,
  });
  const writer = await writerOf(store, run.id);
  try {
    const { manifest } = files;
    const { checkpoint: saved } = await writer.save({
      name: checkpoint,
      step: record.step,
      kind: record.kind,
      trigger: 'import',
      parts: entries,
      manifest:
        manifest === null || record.about === null
          ? null
          : { ...record.about, paramOrder: manifest.paramOrder, tensors: manifest.tensors },
      metrics: record.metrics,
      metadata: record.metadata,
      ttlSeconds,
      parentId: record.id,
    });
    return saved;
  } catch (error) {
    await writer.release();
    await store.removeRun(run.id);
    throw error;
  } finally {
    await writer.release();
  }
}

const inRange = (value: number | undefined, min?: number, max?: number): boolean =>
  (min === undefined && max === undefined) ||
  (value !== undefined && value >= (min ?? -Infinity) && value <= (max ?? Infinity));

function matches(record: CheckpointRecord, run: RunRecord | undefined, query: SearchQuery): boolean {
  const { userMetadata, checkpointType, owner, baseModels, name, minStep, maxStep, metric, tag, projectIds } =
    query;
  return (
    (projectIds === undefined || projectIds.length === 0) &&
    (owner === undefined || owner === 'local') &&
    (checkpointType === undefined || typeOf(record) === checkpointType) &&
    (baseModels === undefined || baseModels.includes(record.about?.base.id ?? run?.baseId ?? '')) &&
    (name === undefined || nameOf(record).includes(name)) &&
    inRange(record.step, minStep, maxStep) &&
    (metric === undefined || inRange(record.metrics[metric.name], metric.min ?? -Infinity, metric.max)) &&
    (tag === undefined || record.tags.includes(tag)) &&
    Object.entries(userMetadata ?? {}).every(([key, value]) => run?.metadata[key] === value)
  );
}
