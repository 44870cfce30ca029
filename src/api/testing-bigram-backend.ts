/**
 * A backend for tests of the clients: a real model (testing-bigram-model.ts), a real store in memory, one queue for each
 * model, and all that backend.ts promises. It is a small example of how that interface is meant.
 */
import type {
  Accepted,
  Backend,
  BackendModel,
  CreatedModel,
  LoadRequest,
  ModelSpec,
  Turn,
} from './backend.ts';
import { FEATURES, type Capability, type CapabilityReport, type Feature } from './capabilities.ts';
import { DEFAULT_LIMITS } from './chunking.ts';
import { crossEntropySurrogate } from './custom-loss.ts';
import { LOCAL_NAMES } from './names.ts';
import {
  BaseModelMismatchError,
  CheckpointExistsError,
  CheckpointNotFoundError,
  ClientClosedError,
  LoraConfigMismatchError,
  OptimizerStateMissingError,
  PrecedingOperationFailedError,
  UnsupportedFeatureError,
} from './own-errors.ts';
import type { FullLoraConfig } from './parameters.ts';
import { formatPath, type ParsedCheckpointPath } from './paths.ts';
import { copyState, freshState, pass, step, VOCAB, type BigramState } from './testing-bigram-model.ts';
import { makeSampler } from './testing-bigram-sampler.ts';
import { createMemoryRegistry, type MemoryStore, type Stored } from './testing-memory-registry.ts';
import type { Checkpoint, LoopState, Metadata } from './types.ts';

export interface BigramBackend extends Backend {
  readonly store: MemoryStore;
  /** What the models did, in order. */
  readonly log: string[];
  /** Called before each piece of work; may throw to make it fail, or wait to make it slow. */
  before: ((what: string, runId: string) => void | Promise<void>) | null;
}

export interface BigramOptions {
  maxDatums?: number;
  parallel?: boolean;
}

export function createBigramBackend(options: BigramOptions = {}): BigramBackend {
  const store: MemoryStore = { checkpoints: new Map(), models: new Map(), sequence: 0 };
  const log: string[] = [];
  let runs = 0;
  let requests = 0;
  const open = new Set<BackendModel>();
  const hooks: { before: BigramBackend['before'] } = { before: null };

  const find = (path: ParsedCheckpointPath): Stored => {
    const wanted = formatPath('lorikeet', path.runId, path.checkpointType, path.name);
    const found = store.checkpoints.get(wanted);
    if (found === undefined)
      throw new CheckpointNotFoundError({ message: `There is no checkpoint ${wanted}.` });
    return found;
  };

  const put = (
    runId: string,
    type: 'training' | 'sampler',
    name: string,
    stored: Omit<Stored, 'row'>,
    more: Partial<Checkpoint>,
  ): Checkpoint => {
    const path = formatPath('lorikeet', runId, type, name);
    const time = new Date(1_700_000_000_000 + store.sequence * 1000).toISOString();
    const row: Checkpoint = {
      checkpointId: path.split('/').slice(-2).join('/'),
      checkpointType: type,
      time,
      path,
      sizeBytes: VOCAB * VOCAB * 8 * (type === 'training' ? 4 : 1),
      public: false,
      baseModel: stored.baseModel,
      name: path.replace('lorikeet://', ''),
      createTime: time,
      updateTime: time,
      encoding: 'base',
      promotable: type === 'sampler',
      sequence: ++store.sequence,
      pinned: false,
      state: 'complete',
      storage: 'local',
      ...more,
    };
    store.checkpoints.set(path, { ...stored, row });
    return row;
  };

  const makeModel = (spec: ModelSpec, runId: string): BackendModel & { state: BigramState } => {
    const state = freshState(spec.lora.seed ?? 0);
    let failed: Error | null = null;
    let tail: Promise<unknown> = Promise.resolve();
    let closed = false;
    const enqueue = <T>(what: string, work: () => T | Promise<T>): Promise<Accepted<T>> => {
      if (closed) return Promise.reject(new ClientClosedError({ message: `${runId} is unloaded.` }));
      const requestId = `local-${String(++requests)}`;
      const result = tail.then(async () => {
        await hooks.before?.(what, runId);
        log.push(`${runId} ${what}`);
        return work();
      });
      tail = result.catch(() => undefined);
      return Promise.resolve({ requestId, result });
    };
    const stored = (loopState: LoopState | null, metadata: Metadata | null): Omit<Stored, 'row'> => ({
      state: copyState(state),
      baseModel: spec.baseModel,
      lora: spec.lora,
      loopState,
      metadata,
    });
    const apply = (from: BigramState, optimizer: boolean): void => {
      state.table.set(from.table);
      state.m.set(optimizer ? from.m : from.m.map(() => 0));
      state.v.set(optimizer ? from.v : from.v.map(() => 0));
      state.t = optimizer ? from.t : 0;
      state.gradient.set(optimizer ? from.gradient : from.gradient.map(() => 0));
      state.tokens = optimizer ? from.tokens : 0;
      state.sequences = optimizer ? from.sequences : 0;
      failed = null;
    };
    const model: BackendModel & { state: BigramState } = {
      state,
      runId,
      baseModel: spec.baseModel,
      lora: spec.lora,
      firstSeqId: 1,
      limits: {
        ...DEFAULT_LIMITS,
        maxDatums: options.maxDatums ?? DEFAULT_LIMITS.maxDatums,
        parallel: options.parallel ?? false,
      },
      prepare: (call) => call,
      customLossCall: crossEntropySurrogate,
      forward: (call) => enqueue('forward', () => pass(state, call, null)),
      forwardBackward: (call) =>
        enqueue('forwardBackward', () => {
          // Into a buffer of its own, so that a failure leaves nothing.
          const part = { gradient: new Float64Array(state.gradient.length), tokens: 0, sequences: 0 };
          const output = pass(state, call, part);
          state.tokens += part.tokens;
          state.sequences += part.sequences;
          part.gradient.forEach((g, i) => {
            state.gradient[i] = (state.gradient[i] ?? 0) + g;
          });
          return output;
        }).then(({ requestId, result }) => ({
          requestId,
          result: result.catch((error: unknown) => {
            failed = error as Error;
            throw error;
          }),
        })),
      optimStep: (request) =>
        enqueue('optimStep', () => {
          if (failed !== null) {
            const cause = failed;
            failed = null;
            state.gradient.fill(0);
            state.tokens = 0;
            state.sequences = 0;
            throw new PrecedingOperationFailedError({
              message: `The gradient is incomplete: ${cause.message}`,
              cause,
            });
          }
          return { metrics: { gradNorm: step(state, request) } };
        }),
      saveState: (request) =>
        enqueue('saveState', () => {
          if (request.external !== null)
            throw new UnsupportedFeatureError({ feature: 'saveWeightsExternal', backend: 'the test engine' });
          const path = formatPath('lorikeet', runId, 'training', request.name);
          if (store.checkpoints.has(path) && !request.overwrite)
            throw new CheckpointExistsError({ message: `${path} is taken.` });
          const row = put(runId, 'training', request.name, stored(request.loopState, request.metadata), {
            step: request.loopState?.step ?? state.t,
            ...(request.metadata === null ? {} : { metadata: request.metadata }),
          });
          return {
            path: row.path,
            type: 'save_weights' as const,
            sizeBytes: row.sizeBytes ?? 0,
            step: row.step ?? 0,
          };
        }),
      saveWeightsForSampler: ({ name }) =>
        enqueue('saveWeightsForSampler', () => {
          const saved = name ?? `ephemeral-${String(requests)}`;
          const path = formatPath('lorikeet', runId, 'sampler', saved);
          if (store.checkpoints.has(path)) throw new CheckpointExistsError({ message: `${path} is taken.` });
          const row = put(runId, 'sampler', saved, stored(null, null), { step: state.t });
          const snapshotName = `${saved}-0000000${String(state.t % 10)}`;
          if (name === null) return { kind: 'ephemeral' as const, samplerId: row.path, snapshotName };
          const result = {
            path: row.path,
            snapshotName,
            checkpointType: 'base' as const,
            sizeBytes: row.sizeBytes ?? null,
            compressionRatio: 1,
          };
          return { kind: 'named' as const, result };
        }),
      load: (request) =>
        enqueue('load', () => {
          const from = checkFit(find(request.path), spec, request);
          apply(from.state, request.optimizer);
          return {
            path: from.row.path,
            ...(request.optimizer ? { step: from.state.t } : {}),
            ...(request.optimizer && from.loopState !== null ? { loopState: from.loopState } : {}),
            ...(request.optimizer && from.metadata !== null ? { metadata: from.metadata } : {}),
          };
        }),
      skip: () => undefined,
      info: () =>
        Promise.resolve({
          modelData: { modelName: spec.baseModel },
          modelId: runId,
          isLora: true,
          modelName: spec.baseModel,
        }),
      tokenizer: () => Promise.resolve(null),
      onRunReplaced: () => () => undefined,
      unload: async () => {
        closed = true;
        await tail;
        open.delete(model);
        log.push(`${runId} unload`);
      },
    };
    return model;
  };

  return {
    kind: 'local',
    label: 'the test engine',
    names: LOCAL_NAMES,
    minTtlSeconds: 1,
    store,
    log,
    get before() {
      return hooks.before;
    },
    set before(before) {
      hooks.before = before;
    },
    registry: createMemoryRegistry(store, find),
    serverCapabilities: () =>
      Promise.resolve({ supportedModels: [{ modelName: 'bigram', maxContextLength: 1024 }] }),
    capabilities: (): Promise<CapabilityReport> => {
      const features = Object.fromEntries(
        FEATURES.map((f) => [f, { support: 'native', note: 'As promised.' }]),
      ) as Record<Feature, Capability>;
      return Promise.resolve({ backend: 'local', dialect: null, server: null, features });
    },
    createModel: async (spec, load): Promise<CreatedModel> => {
      const model = makeModel(spec, `run_${String(++runs)}`);
      open.add(model);
      if (load === null) return { model, loaded: null };
      try {
        const turn: Turn = { seqId: 0, onQueueState: () => undefined };
        const { result } = await model.load(load, turn);
        return { model, loaded: await result };
      } catch (error) {
        await model.unload();
        throw error;
      }
    },
    createSampler: (source) => Promise.resolve(makeSampler(source, find, () => ++requests)),
    telemetry: () => ({ requests, models: open.size }),
    consoleUrl: () => null,
    close: async () => {
      for (const model of open) await model.unload();
    },
  };
}

function checkFit(
  from: Stored,
  spec: { baseModel: string; lora: FullLoraConfig },
  request: LoadRequest,
): Stored {
  if (from.baseModel !== spec.baseModel) {
    throw new BaseModelMismatchError({
      message: 'Another base.',
      field: 'baseModel',
      expected: spec.baseModel,
      actual: from.baseModel,
    });
  }
  if (from.lora.rank !== spec.lora.rank) {
    throw new LoraConfigMismatchError({
      message: 'Another rank.',
      field: 'rank',
      expected: spec.lora.rank,
      actual: from.lora.rank,
    });
  }
  if (request.optimizer && from.row.checkpointType === 'sampler') {
    throw new OptimizerStateMissingError({
      message: 'No moments.',
      field: 'optimizer',
      expected: 'adamw',
      actual: null,
    });
  }
  return from;
}
