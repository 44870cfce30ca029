/** What a model of this machine saves and loads: its run in the store, made with the first save, and its snapshots for sampling. */
import type {
  LoadRequest,
  ModelSpec,
  SavedSampler,
  SaveSamplerRequest,
  SaveStateRequest,
} from '../api/backend.ts';
import {
  BaseModelMismatchError,
  LoraConfigMismatchError,
  OptimizerStateMissingError,
  UnsupportedFeatureError,
} from '../api/own-errors.ts';
import type { SaveWeightsResponse } from '../api/types.ts';
import { encodeParts } from '../checkpoints/encodings.ts';
import { writerOf } from '../checkpoints/training-run.ts';
import { StudioError } from '../errors.ts';
import type { Adapter, LoraSettings } from '../formats/adapter.ts';
import { joinBytes } from '../formats/bytes.ts';
import { sha256Hex } from '../formats/sha256.ts';
import { checkBase, checkLora } from '../run/restore.ts';
import type { SessionSnapshot } from '../run/capture.ts';
import type { RunWriter } from '../storage/checkpoint-store.ts';
import type { NewCheckpoint } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord } from '../storage/records.ts';
import type { OpenBase } from './bases.ts';
import { captureModel, metadataTexts, readState, type ReadState, type StateToSave } from './capture.ts';
import type { LocalShared } from './host.ts';
import { findRecord, nameTexts, pathOf, storedName, typeOf } from './kept.ts';
import type { Snapshots } from './snapshots.ts';

export interface KeeperOptions {
  shared: LocalShared;
  snapshots: Snapshots;
  runId: string;
  baseModel: string;
  /** Of the checkpoint that the model was made from. */
  parentId: string | null;
  spec: Pick<ModelSpec, 'userMetadata'>;
  /** Of a run that is open already; it stays its owner's. */
  writer?: RunWriter | null;
}

/** Why such a checkpoint was saved: a program asked for it, and it alone knows how its loop goes on. */
export const PROGRAM = 'program';

type Saving = Omit<NewCheckpoint, 'name' | 'parentId' | 'pinned' | 'tags'>;

export class ModelKeeper {
  readonly #options: KeeperOptions;
  #writer: Promise<RunWriter> | null = null;
  #parentId: string | null;
  /** Ends with the last save so far; never rejects. */
  #saving: Promise<unknown> = Promise.resolve();
  /** The newest sampler checkpoint that is stored whole: what a delta is made to. */
  #whole: string | null = null;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#parentId = options.parentId;
    if (options.writer) this.#writer = Promise.resolve(options.writer);
  }

  refuseExternal(external: string | null): void {
    if (external === null) return;
    throw new UnsupportedFeatureError({
      feature: 'saveWeightsExternal',
      backend: 'This machine',
      why: `${external} is no store that it can write to`,
      fix: 'Save with saveState, and download the archive.',
    });
  }

  /** Opens the run for writing; makes it where this is the first save. */
  #open(model: StateToSave['model']): Promise<RunWriter> {
    const { shared, runId, baseModel, spec } = this.#options;
    const open = async (): Promise<RunWriter> => {
      const store = await shared.host.store();
      await store.createRun({
        id: runId,
        name: `api-${runId.slice(-8).toLowerCase()}`,
        baseId: model.id,
        metadata: { ...spec.userMetadata },
        note: `Trained by a program on ${baseModel}.`,
      });
      return writerOf(store, runId);
    };
    this.#writer ??= open().catch((error: unknown) => {
      this.#writer = null;
      throw error;
    });
    return this.#writer;
  }

  /** What is held of the GPU may still be on its way; saves are committed in the order of the calls all the same. */
  async saveState(
    request: SaveStateRequest,
    what: StateToSave,
    held: Promise<SessionSnapshot>,
  ): Promise<SaveWeightsResponse> {
    const record = await this.#save(request.name, what, async () => {
      const { parts, manifest, step } = await captureModel(what, await held);
      const stored = await encodeParts(parts, null);
      return {
        step,
        kind: 'full',
        trigger: PROGRAM,
        ...stored,
        manifest,
        metrics: figuresOf(request),
        metadata: metadataTexts(request.loopState, request.metadata),
        ttlSeconds: request.ttlSeconds,
        overwrite: request.overwrite,
      };
    });
    this.#parentId = record.id;
    return {
      path: pathOf(record),
      type: 'save_weights',
      sizeBytes: record.size,
      step: record.step,
      digest: digestOf(record),
      ...(request.metadata === null ? {} : { metadata: request.metadata }),
    };
  }

  async saveSampler(
    { name, ttlSeconds, checkpointType }: SaveSamplerRequest,
    what: StateToSave,
    held: Promise<Adapter['tensors']>,
  ): Promise<SavedSampler> {
    const { snapshots, baseModel } = this.#options;
    if (name === null) {
      const tensors = await held;
      const snapshotName = snapshotNameOf('ephemeral', tensors);
      const samplerId = snapshots.add({ adapter: adapterOf(what, tensors), baseModel, snapshotName });
      return { kind: 'ephemeral', samplerId, snapshotName };
    }
    if (checkpointType === 'merged_base') {
      throw new UnsupportedFeatureError({
        feature: 'checkpointType merged_base',
        backend: 'This machine',
        why: 'adapters are kept apart from their base model',
        fix: 'Save it as base, and merge the archive with PEFT (merge_and_unload).',
      });
    }
    const record = await this.#save(name, what, async () => {
      const tensors = await held;
      const { parts, manifest, step } = await captureModel(what, { tensors });
      const store = await this.#options.shared.host.store();
      const base = checkpointType === 'delta' && this.#whole !== null ? await store.open(this.#whole) : null;
      const stored = await encodeParts(parts, base);
      return { step, kind: 'sampler', trigger: PROGRAM, ...stored, manifest, ttlSeconds };
    });
    if (record.delta === null) this.#whole = record.id;
    return {
      kind: 'named',
      result: {
        path: pathOf(record),
        snapshotName: snapshotNameOf(name, await held),
        checkpointType: record.delta === null ? 'base' : 'delta',
        sizeBytes: record.size,
        compressionRatio: record.delta?.measuredRatio ?? 1,
      },
    };
  }

  /** One save after the other: which name is free is seen only once the save before is committed. */
  #save(name: string, what: StateToSave, make: () => Promise<Saving>): Promise<CheckpointRecord> {
    const saved = this.#saving.then(async () => this.#saveNow(name, what, await make()));
    this.#saving = saved.catch(() => undefined);
    return saved;
  }

  async #saveNow(name: string, { model }: StateToSave, input: Saving): Promise<CheckpointRecord> {
    const { runId, shared } = this.#options;
    const writer = await this.#open(model);
    const stored = await storedName(await shared.host.store(), runId, typeOf(input), name);
    const { checkpoint } = await writer.save({
      ...input,
      name: stored,
      metadata: { ...input.metadata, ...nameTexts(name, stored) },
      parentId: this.#parentId,
    });
    return checkpoint;
  }

  /** Lends the run's writer to other work on the run, at its turn among the saves; null where nothing was saved yet. */
  lend<T>(work: (writer: RunWriter | null) => Promise<T>): Promise<T> {
    const done = this.#saving.then(async () => work(await this.#writer));
    this.#saving = done.catch(() => undefined);
    return done;
  }

  /** Reads a checkpoint that the model is to go on from, and checks that it fits, before anything is changed. */
  async read(
    request: LoadRequest,
    { base, settings }: { base: OpenBase; settings: LoraSettings },
  ): Promise<{ state: ReadState; path: string }> {
    const { state, record } = await readRecord(this.#options.shared, request);
    checkFits(state, base, request.path.path);
    checkForm(state.adapter.settings, settings);
    this.#parentId = record.id;
    return { state, path: pathOf(record) };
  }

  /** Lets the run's lock go. */
  async release(): Promise<void> {
    if (this.#options.writer) return;
    await this.#saving;
    const writer = await this.#writer?.catch(() => null);
    await writer?.release();
  }
}

/** Reads the checkpoint of a request. Throws OptimizerStateMissingError where the optimizer is asked for and not there. */
export async function readRecord(
  shared: LocalShared,
  request: LoadRequest,
): Promise<{ state: ReadState; record: CheckpointRecord }> {
  const store = await shared.host.store();
  const record = await findRecord(store, request.path);
  try {
    const state = await readState((await store.open(record.id)).files(), request.optimizer);
    return { state, record };
  } catch (error) {
    if (!(error instanceof StudioError && error.code === 'STATE_INCOMPLETE')) throw error;
    throw new OptimizerStateMissingError({
      message: `${request.path.path} holds no optimizer state.`,
      field: 'optimizer',
      expected: 'adamw',
      actual: null,
      cause: error,
    });
  }
}

/** The base model that a checkpoint names. Throws BASE_MISMATCH for an adapter that names none. */
export function baseModelOf({ base, adapter }: ReadState, path: string): string {
  const baseModel = base?.id ?? adapter.baseModel;
  if (baseModel !== null) return baseModel;
  throw new StudioError({
    code: 'BASE_MISMATCH',
    message: `${path} does not say which base model it belongs to.`,
    fix: 'Make a client of its base model with createLoraTrainingClient, and load it there with loadState.',
  });
}

/** Throws BaseModelMismatchError for a checkpoint of another base model. */
export function checkFits({ base }: ReadState, open: OpenBase, path: string): void {
  if (base === null) return;
  try {
    checkBase(base, open.model);
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    throw new BaseModelMismatchError({
      message: `${path}: ${error.message}`,
      field: 'baseModel',
      expected: open.model.id,
      actual: base.id,
      cause: error,
    });
  }
}

/** Throws LoraConfigMismatchError for an adapter of another form than the client's. */
function checkForm(found: LoraSettings, wanted: LoraSettings): void {
  try {
    checkLora(found, wanted);
  } catch (error) {
    if (!(error instanceof StudioError)) throw error;
    const sameRank = found.rank === wanted.rank;
    throw new LoraConfigMismatchError({
      message: error.message.replace('the run has', 'the client has'),
      field: sameRank ? 'adapter' : 'rank',
      expected: sameRank ? wanted.targetModules : wanted.rank,
      actual: sameRank ? found.targetModules : found.rank,
    });
  }
}

const adapterOf = ({ settings, model }: StateToSave, tensors: Adapter['tensors']): Adapter => ({
  settings,
  baseModel: model.id,
  tensors,
});

/** `<name>-<8 hex>`, the hex of the weights: the same weights under the same name are the same snapshot. */
function snapshotNameOf(name: string, tensors: Adapter['tensors']): string {
  const parts = tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return `${name}-${sha256Hex(joinBytes(parts)).slice(0, 8)}`;
}

/** SHA-256 over the hashes of all parts. */
function digestOf(record: CheckpointRecord): string {
  return sha256Hex(record.parts.map(({ path, sha256 }) => `${sha256}  ${path}\n`).join(''));
}

/** Numbers of the metadata are figures that checkpoints can be sorted and searched by. */
function figuresOf({ metadata }: SaveStateRequest): Record<string, number> {
  const numbers = Object.entries(metadata ?? {}).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number' && Number.isFinite(entry[1]),
  );
  return Object.fromEntries(numbers);
}
