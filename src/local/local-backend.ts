/** The backend of this machine: the WebGPU engine and the store of checkpoints behind the clients of src/api. */
import type {
  Backend,
  BackendModel,
  CreatedModel,
  LoadRequest,
  ModelSpec,
  SamplerSource,
} from '../api/backend.ts';
import { ClientClosedError } from '../api/own-errors.ts';
import { LOCAL_NAMES } from '../api/names.ts';
import { parseCheckpointPath, type ParsedCheckpointPath } from '../api/paths.ts';
import type { WarningSink } from '../api/warnings.ts';
import type { TrainingSession } from '../engine/index.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import { ulid } from '../formats/ulid.ts';
import type { RunWriter } from '../storage/checkpoint-store.ts';
import { createBaseLibrary, type OpenBase } from './bases.ts';
import { FRESH, type ReadState } from './capture.ts';
import { watchDevice } from './device-loss.ts';
import { createEnginePool } from './engine-pool.ts';
import type { LocalHost, LocalShared } from './host.ts';
import { pathOf } from './kept.ts';
import { localCapabilities } from './local-capabilities.ts';
import { LocalModel } from './local-model.ts';
import { createLocalRegistry, PROMOTED } from './local-registry.ts';
import { LocalSampler } from './local-sampler.ts';
import { loraOf, settingsOf } from './lora-settings.ts';
import { mapped } from './map-error.ts';
import { baseModelOf, checkFits, ModelKeeper, readRecord } from './model-keeper.ts';
import { loadedOf } from './model-session.ts';
import type { SamplerEngine } from './sampler-engine.ts';
import { createSnapshots } from './snapshots.ts';

export interface LocalBackendOptions {
  host: LocalHost;
  userMetadata: Readonly<Record<string, string>> | null;
  warnings: WarningSink;
}

/** A run of the studio or the command line that is to be trained through a client. */
export interface AdoptedRun {
  /** The base model that is on the GPU; it stays its owner's, as the session does. */
  base: Omit<OpenBase, 'release'>;
  session: TrainingSession;
  settings: LoraSettings;
  seed: number;
  /** Optimizer steps that are done. */
  step: number;
  /** How rows become micro-batches. */
  microBatchTokens: number;
  /** The open run of the store; null where nothing is saved. */
  writer: RunWriter | null;
  parentId: string | null;
}

export interface LocalBackend extends Backend {
  /** A model over a session that there is already. Unloading it leaves the session alone. */
  adopt(run: AdoptedRun): BackendModel;
}

/** Opens nothing yet: GPU, store and models are opened by the calls that need them. */
export function createLocalBackend({ host, userMetadata, warnings }: LocalBackendOptions): LocalBackend {
  let requests = 0;
  let closed = false;
  const counters: Record<string, number> = { models: 0, samplers: 0 };
  const shared: LocalShared = {
    host,
    warnings,
    nextRequestId: () => `local-${String(++requests)}`,
  };
  const bases = createBaseLibrary(host);
  const engines = createEnginePool(bases);
  const snapshots = createSnapshots();
  const models = new Set<LocalModel>();
  const samplers = new Set<LocalSampler>();
  const registry = createLocalRegistry(
    shared,
    bases,
    (runId) => [...models].find((model) => model.runId === runId)?.keeper ?? null,
  );

  const refuseIfClosed = (): void => {
    if (closed) throw new ClientClosedError({ message: 'The service of this machine is closed.' });
  };

  const onUnload = (gone: LocalModel): void => {
    models.delete(gone);
  };

  const createModel = async (spec: ModelSpec, load: LoadRequest | null): Promise<CreatedModel> => {
    refuseIfClosed();
    const found = load === null ? null : await readRecord(shared, load);
    const base = await bases.open(spec.baseModel);
    try {
      if (found !== null && load !== null) checkFits(found.state, base, load.path.path);
      // A checkpoint's own settings are more than the interface can say: dropout, patterns, rsLoRA.
      const settings = found?.state.adapter.settings ?? settingsOf(base.model.config, spec);
      const lora = found === null ? spec.lora : loraOf(base.model.config, settings).lora;
      const runId = ulid(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
      const keeper = new ModelKeeper({
        shared,
        snapshots,
        runId,
        baseModel: spec.baseModel,
        parentId: found?.record.id ?? null,
        spec: { userMetadata: { ...userMetadata, ...spec.userMetadata } },
      });
      const seed = found?.state.seed ?? spec.lora.seed ?? freshSeed();
      const options = {
        shared,
        base,
        baseModel: spec.baseModel,
        lora,
        settings,
        seed,
        runId,
        keeper,
        onUnload,
      };
      const model = await LocalModel.create(options, found?.state ?? null);
      models.add(model);
      counters['models'] = (counters['models'] ?? 0) + 1;
      const loaded =
        found === null || load === null ? null : loadedOf(load.path.path, found.state, load.optimizer);
      return { model, loaded };
    } catch (error) {
      base.release();
      throw error;
    }
  };

  const adopt = (run: AdoptedRun): BackendModel => {
    watchDevice(run.base.gpu.device);
    const { base, settings, seed, microBatchTokens, writer, parentId } = run;
    const runId = writer?.runId ?? ulid(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
    const spec = { userMetadata };
    const keeper = new ModelKeeper({
      shared,
      snapshots,
      runId,
      baseModel: base.name,
      parentId,
      spec,
      writer,
    });
    const { lora } = loraOf(base.model.config, settings);
    const kept = { ...base, release: () => undefined };
    const options = {
      shared,
      base: kept,
      baseModel: base.name,
      lora,
      settings,
      seed,
      runId,
      keeper,
      microBatchTokens,
      onUnload,
    };
    const model = LocalModel.over(options, run.session, { ...FRESH, optimizerStep: run.step });
    models.add(model);
    return model;
  };

  /** The weights of a path, and what a sampler of them calls itself. */
  const weightsAt = async (path: ParsedCheckpointPath): Promise<{ state: ReadState; snapshot: string }> => {
    const { state, record } = await readRecord(shared, { path, optimizer: false, weightsAccessToken: null });
    return { state, snapshot: pathOf(record) };
  };

  /** A promoted model's checkpoint, where the name is one. */
  const promoted = async (name: string): Promise<ParsedCheckpointPath | null> => {
    const known = await host.models();
    if (known.some(({ modelName }) => modelName === name) || name.includes('/')) return null;
    const run = (await (await host.store()).runs()).find(({ metadata }) => metadata[PROMOTED] === name);
    return run === undefined ? null : parseCheckpointPath(`lorikeet://${run.id}/sampler_weights/@latest`);
  };

  interface Wanted {
    baseModel: string;
    adapter: Adapter | null;
    snapshot: string | null;
    handle: { modelPath: string | null; samplerId: string | null };
    /** Throws BaseModelMismatchError for a checkpoint of another base model than the one of this name here. */
    check: (base: OpenBase) => void;
  }

  const wantedOf = async (source: SamplerSource): Promise<Wanted> => {
    const check = (): void => undefined;
    if ('samplerId' in source) {
      const { adapter, baseModel, snapshotName } = snapshots.get(source.samplerId);
      const handle = { modelPath: null, samplerId: source.samplerId };
      return { baseModel, adapter, snapshot: snapshotName, handle, check };
    }
    const path = 'modelPath' in source ? source.modelPath : await promoted(source.baseModel);
    if (path === null && 'baseModel' in source) {
      const handle = { modelPath: null, samplerId: null };
      return { baseModel: source.baseModel, adapter: null, snapshot: null, handle, check };
    }
    const found = path as ParsedCheckpointPath;
    const { state, snapshot } = await weightsAt(found);
    return {
      baseModel: baseModelOf(state, found.path),
      adapter: state.adapter,
      snapshot,
      handle: { modelPath: snapshot, samplerId: null },
      check: (base) => {
        checkFits(state, base, found.path);
      },
    };
  };

  /** An engine with what is wanted; the base model's weights are loaded once for the check and the engine. */
  const engineFor = async ({ baseModel, adapter, check }: Wanted): Promise<SamplerEngine> => {
    const base = await bases.open(baseModel);
    try {
      check(base);
      return await engines.acquire(baseModel, adapter);
    } finally {
      base.release();
    }
  };

  return {
    kind: 'local',
    label: 'this machine',
    names: LOCAL_NAMES,
    minTtlSeconds: 1,
    registry,
    serverCapabilities: () => mapped(async () => ({ supportedModels: [...(await host.models())] })),
    capabilities: () =>
      mapped(async () => localCapabilities((await host.gpu().catch(() => null))?.info.name ?? null)),
    createModel: (spec, load) => mapped(() => createModel(spec, load)),
    adopt,
    createSampler: (source) =>
      mapped(async () => {
        refuseIfClosed();
        const wanted = await wantedOf(source);
        const { baseModel, snapshot, handle } = wanted;
        const engine = await engineFor(wanted);
        const sampler = new LocalSampler({
          shared,
          baseModel,
          snapshot,
          handle,
          engine,
          open: async (path, { base }) => {
            const found = await weightsAt(path);
            checkFits(found.state, base, path.path);
            return { adapter: found.state.adapter, snapshot: found.snapshot };
          },
          replace: (old, next) => engines.replace(old, next),
          release: async (old) => {
            samplers.delete(sampler);
            await engines.release(old);
          },
        });
        samplers.add(sampler);
        counters['samplers'] = (counters['samplers'] ?? 0) + 1;
        return sampler;
      }),
    telemetry: () => ({ ...counters, requests, openModels: models.size, openSamplers: samplers.size }),
    consoleUrl: () => null,
    close: async () => {
      if (closed) return;
      closed = true;
      for (const model of models) await model.unload();
      for (const sampler of samplers) await sampler.close();
      await engines.close();
      bases.close();
      await host.close();
    },
  };
}

/** A seed for whoever gives none. */
function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}
