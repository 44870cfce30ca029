/** Runs and checkpoints in memory, for the tests' backend. */
import type { BackendRegistry } from './backend.ts';
import { bytesOf, streamOf } from './cold-store.ts';
import { ConflictError, NotFoundError } from './errors.ts';
import { UnsupportedFeatureError } from './own-errors.ts';
import type { FullLoraConfig } from './parameters.ts';
import { formatPath, type ParsedCheckpointPath } from './paths.ts';
import type { BigramState } from './testing-bigram-model.ts';
import type { Checkpoint, LoopState, Metadata } from './types.ts';

export interface Stored {
  row: Checkpoint;
  state: BigramState;
  baseModel: string;
  lora: FullLoraConfig;
  loopState: LoopState | null;
  metadata: Metadata | null;
}

export interface MemoryStore {
  checkpoints: Map<string, Stored>;
  models: Map<string, string>;
  sequence: number;
}

const arraysAsLists = (_: string, value: unknown): unknown =>
  value instanceof Float64Array ? Array.from(value) : value;

const runOf = (path: string): string => path.split('/')[2] ?? '';

export function createMemoryRegistry(
  store: MemoryStore,
  find: (path: ParsedCheckpointPath) => Stored,
): BackendRegistry {
  const rows = (): Checkpoint[] => [...store.checkpoints.values()].map(({ row }) => row);
  const change = (path: ParsedCheckpointPath, more: Partial<Checkpoint>): Promise<void> => {
    try {
      Object.assign(find(path).row, more);
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error as Error);
    }
  };
  const unsupported = (feature: string) => (): Promise<never> =>
    Promise.reject(new UnsupportedFeatureError({ feature, backend: 'the test engine' }));
  return {
    getTrainingRun: (runId) => {
      const first = [...store.checkpoints.values()].find(({ row }) => runOf(row.path) === runId);
      if (first === undefined)
        return Promise.reject(new NotFoundError({ message: `There is no run ${runId}.` }));
      return Promise.resolve({
        trainingRunId: runId,
        baseModel: first.baseModel,
        modelOwner: 'me',
        isLora: true,
        corrupted: false,
        loraRank: first.lora.rank,
        lastRequestTime: first.row.time,
      });
    },
    listTrainingRuns: ({ limit, offset }) => {
      const ids = [...new Set(rows().map(({ path }) => runOf(path)))];
      const runs = ids.map((id) => ({
        trainingRunId: id,
        baseModel: 'bigram',
        modelOwner: 'me',
        isLora: true,
        corrupted: false,
        lastRequestTime: '',
      }));
      return Promise.resolve({
        trainingRuns: runs.slice(offset, offset + limit),
        cursor: { offset, limit, totalCount: runs.length },
      });
    },
    weightsInfo: async (path) => {
      const { baseModel, lora } = find(path);
      const { rank, alpha, trainMlp, trainAttn, trainUnembed } = lora;
      return Promise.resolve({
        baseModel,
        isLora: true,
        loraRank: rank,
        alpha,
        trainMlp,
        trainAttn,
        trainUnembed,
      });
    },
    listCheckpoints: (runId) => Promise.resolve(rows().filter(({ path }) => runOf(path) === runId)),
    listUserCheckpoints: ({ limit, offset }) =>
      Promise.resolve({ checkpoints: rows().slice(offset, offset + limit) }),
    searchCheckpoints: (query) =>
      Promise.resolve({
        checkpoints: rows().filter((row) => query.minStep === undefined || (row.step ?? 0) >= query.minStep),
      }),
    deleteCheckpoint: async (path) => {
      store.checkpoints.delete(find(path).row.path);
      return Promise.resolve();
    },
    setPublic: (path, value) => change(path, { public: value }),
    setTtl: (path, seconds) =>
      change(
        path,
        seconds === null ? {} : { expiresAt: new Date(Date.now() + seconds * 1000).toISOString() },
      ),
    setPinned: (path, pinned) => change(path, { pinned }),
    archiveUrl: unsupported('archiveUrl'),
    download: async (path, { from }) => {
      const bytes = new TextEncoder().encode(JSON.stringify(find(path), arraysAsLists));
      const whole = { totalBytes: bytes.length, from, fileName: `${path.name}.json`, sha256: null };
      return Promise.resolve({ ...whole, body: streamOf(bytes.slice(from)) });
    },
    restore: async (path, body, row) => {
      const stored = JSON.parse(new TextDecoder().decode(await bytesOf(body))) as Stored;
      const { table, m, v, gradient, ...counts } = stored.state;
      const arrays = { table, m, v, gradient };
      const state = Object.fromEntries(
        Object.entries(arrays).map(([name, list]) => [name, Float64Array.from(list)]),
      ) as Pick<BigramState, 'table' | 'm' | 'v' | 'gradient'>;
      if (store.checkpoints.has(path.path))
        throw new ConflictError({ message: `${path.path} is there already.` });
      store.checkpoints.set(path.path, { ...stored, row: { ...row }, state: { ...state, ...counts } });
    },
    promote: (path, outputModelId) => {
      if (store.models.has(outputModelId))
        return Promise.reject(new ConflictError({ message: `${outputModelId} is taken.` }));
      store.models.set(outputModelId, find(path).row.path);
      return Promise.resolve({ modelId: outputModelId });
    },
    listModels: () =>
      Promise.resolve(
        [...store.models.keys()].map((modelId) => ({ modelId, baseModel: 'bigram', createTime: '' })),
      ),
    copyWeights: (path) => {
      const from = find(path);
      const copy = formatPath('lorikeet', `copy_${String(++store.sequence)}`, path.checkpointType, path.name);
      store.checkpoints.set(copy, { ...from, row: { ...from.row, path: copy } });
      return Promise.resolve(copy);
    },
    storageUsage: () =>
      Promise.resolve({
        usedBytes: rows().reduce((sum, row) => sum + (row.sizeBytes ?? 0), 0),
        quotaBytes: null,
        freeBytes: null,
        byRun: {},
      }),
    importAdapter: unsupported('importAdapter'),
    service: ({ kind }) => unsupported(kind)(),
  };
}
