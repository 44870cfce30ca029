/** What the worker holds: one model, one data set, one run. Loads and runs wait for each other in a queue. */
import { FAMILY_NAMES, targetNames, type BaseModel } from '../src/engine/index.ts';
import { StudioError, toErrorFields, type ErrorFields } from '../src/errors.ts';
import { loadBase } from '../src/run/load-base.ts';
import { proveResume } from '../src/checkpoints/verify-resume.ts';
import { openModel, type OpenModel } from '../src/run/open-model.ts';
import type { PreparedData } from '../src/run/prepare-data.ts';
import { tuneBase } from '../src/run/tune-base.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import type { CheckpointRecord } from '../src/storage/records.ts';
import { version } from '../package.json';
import type {
  Capability,
  DataChoice,
  DataOptions,
  DataSummary,
  ModelChoice,
  ModelSummary,
  Progress,
  RunEvent,
  RunRequest,
  StudioApi,
} from './api.ts';
import { beginning, type Choices } from './begin-run.ts';
import type {
  CheckpointChange,
  CheckpointRow,
  Comparison,
  DroppedFile,
  ExportKind,
  ListQuery,
  Peek,
  PrunePlan,
  ResumePlan,
  ResumeProof,
  RetentionPolicy,
  StoreView,
} from './checkpoints-api.ts';
import { runExample } from './examples.ts';
import type { ExampleEvent, ExampleKind, ExampleOutcome } from './examples-api.ts';
import { EngineGpu, type OpenGpu } from './gpu.ts';
import { KeptCheckpoints, noRun } from './kept-checkpoints.ts';
import { loadData } from './load-data.ts';
import { openModelFiles } from './model-files.ts';
import { Queue } from './queue.ts';
import { resumePlan } from './resume-plan.ts';
import { RunControl } from './run-control.ts';
import { RunEvents } from './run-events.ts';
import { TrainingRun } from './training-run.ts';
import { compareStored, exportBlob, importFiles, peekFiles } from './transfer.ts';
import { tuningCache } from './tuning-cache.ts';

/** Steps before and after the checkpoint of the proof: enough for both moments to matter. */
const PROOF_STEPS = 4;

const GPU_LOST: ErrorFields = {
  code: 'GPU_LOST',
  message:
    'The browser lost the GPU: its driver was reset, or the computer went to sleep. What was trained since the last checkpoint is gone.',
  fix: 'Resume the run from its last checkpoint, or start again: the model is put on the GPU anew. If it happens again, close other programs that use the GPU, or choose a smaller batch size.',
};

function notReady(message: string, fix: string): StudioError {
  return new StudioError({ code: 'OPTION_INVALID', message, fix });
}

export class Studio implements StudioApi {
  readonly #gpu = new EngineGpu(() => this.#lost());
  readonly #jobs = new Queue();
  readonly #kept = new KeptCheckpoints();
  /** What the page chose last: where the loaded model and data came from. */
  #choices: Choices = { model: { kind: 'embedded' }, data: { kind: 'demo', id: '' } };
  #transfer = new AbortController();
  #model: OpenModel | null = null;
  /** The weights on the GPU; null where there is none, and after it was lost. */
  #base: BaseModel | null = null;
  #data: PreparedData | null = null;
  #loading = new AbortController();
  #example = new AbortController();
  #run: TrainingRun | null = null;
  #control: RunControl | null = null;
  /** Ends a run whose GPU is gone: what it waits for never comes. */
  #breakRun: (error: StudioError) => void = () => undefined;

  capability(): Promise<Capability> {
    return this.#gpu.capability();
  }

  loadModel(choice: ModelChoice, onProgress: (progress: Progress) => void): Promise<ModelSummary> {
    // Whoever asks for another model does not wait for the download of the one before.
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    return this.#jobs.run(async () => {
      await this.#free();
      const { files, id, revision } = await openModelFiles(choice, onProgress, signal);
      const model = await openModel(files, id, new Date(), revision);
      // Without a GPU the tokenizer and the preview still work; the page says why nothing can be trained.
      const gpu = await this.#gpu.open().catch(() => null);
      if (gpu !== null) this.#base = await putOnGpu(model, gpu, onProgress);
      this.#model = model;
      this.#choices = { ...this.#choices, model: choice };
      return summarise(model, this.#base);
    });
  }

  loadData(choice: DataChoice, options: DataOptions): Promise<DataSummary> {
    return this.#jobs.run(async () => {
      if (this.#model === null)
        throw notReady('No model is loaded to read the data with.', 'Load a model first.');
      this.#data = null;
      this.#data = await loadData(choice, this.#model, options);
      this.#choices = { ...this.#choices, data: choice };
      return this.#data.summary;
    });
  }

  /** How the run went is told by its events: this resolves also when it failed. */
  start(request: RunRequest, onEvent: (event: RunEvent) => void): Promise<void> {
    return this.#jobs.run(async () => {
      const events = new RunEvents(onEvent);
      const control = new RunControl((state) => events.push({ type: 'state', state }));
      this.#control = control;
      events.push({ type: 'state', state: 'preparing' });
      try {
        const broken = new Promise<never>((_, reject) => (this.#breakRun = reject));
        const state = await Promise.race([this.#train(request, events, control), broken]);
        events.push({ type: 'state', state });
      } catch (error) {
        events.push({ type: 'error', error: toErrorFields(error) });
        events.push({ type: 'state', state: 'failed' });
      } finally {
        control.end();
      }
    });
  }

  async #train(request: RunRequest, events: RunEvents, control: RunControl): Promise<'done' | 'stopped'> {
    const { model, data } = { model: this.#model, data: this.#data };
    if (model === null || data === null)
      throw notReady('Model or data are not loaded.', 'Choose both first.');
    await this.#run?.release();
    this.#run = null;
    const gpu = await this.#gpu.open();
    const tell = (progress: Progress): void => events.push({ type: 'progress', progress });
    this.#base ??= await putOnGpu(model, gpu, tell);
    tell({ label: 'Preparing the GPU', done: 0, total: 0 });
    await tuneBase(this.#base, gpu.info, tuningCache);
    const store = await this.#storeFor(request, events);
    const start = await beginning(store, request, { model, data }, this.#choices, gpu.info.name);
    const { opened, lora, training } = start;
    const policy = request.save;
    const kept = store === null || opened === null || policy === null ? null : { store, opened, policy };
    const toRow = (record: CheckpointRecord) => this.#kept.row(record);
    const parts = {
      base: this.#base,
      model,
      data,
      request,
      events,
      control,
      gpu: this.#gpu,
      device: gpu.info.name,
    };
    let run: TrainingRun;
    try {
      run = await TrainingRun.create({ ...parts, lora, training, kept, toRow });
    } catch (error) {
      await opened?.writer.release();
      if (opened !== null && start.isNew) await store?.removeRun(opened.run.id);
      throw error;
    }
    this.#run = run;
    if (start.event !== null) events.push(start.event);
    if (run.history.length > 0) events.push({ type: 'history', records: run.history });
    events.push({ type: 'plan', steps: run.steps, memory: run.memory() });
    return run.train();
  }

  /** The store, or null where the browser gives none: a run that saves nothing is better than none, but not for going on. */
  async #storeFor(request: RunRequest, events: RunEvents): Promise<CheckpointStore | null> {
    if (request.save === null && request.from === undefined) return null;
    try {
      return await this.#kept.store();
    } catch (error) {
      if (request.from !== undefined) throw error;
      events.push({ type: 'saveFailed', error: toErrorFields(error) });
      return null;
    }
  }

  async pause(): Promise<void> {
    await this.#control?.pause();
  }

  resume(): Promise<void> {
    this.#control?.resume();
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#control?.stop();
    return Promise.resolve();
  }

  async answer(prompt: string, adapterScale: number, maxTokens: number): Promise<string> {
    return this.#trained().answer(prompt, adapterScale, maxTokens);
  }

  async exportAdapter({ dtype }: { dtype: 'F32' | 'BF16' }): Promise<{ name: string; blob: Blob }> {
    const run = this.#trained();
    return { name: `${run.name}.tar.gz`, blob: await run.export(dtype) };
  }

  storeView(query: ListQuery, sentinel: string | null): Promise<StoreView> {
    return this.#kept.view(query, sentinel);
  }

  async saveNow(what: { name?: string; note?: string }): Promise<CheckpointRow> {
    if (this.#run === null) throw noRun();
    return this.#kept.row(await this.#run.save(what));
  }

  async saveHidden(): Promise<void> {
    await this.#run?.saveHidden();
  }

  async resumePlan(checkpointId: string): Promise<ResumePlan> {
    const gpu = await this.#gpu.open();
    const store = await this.#kept.store();
    return resumePlan(store, checkpointId, gpu.info.name, (record) => this.#kept.row(record));
  }

  changeCheckpoint(id: string, change: CheckpointChange): Promise<void> {
    return this.#kept.change(id, change);
  }

  removeCheckpoints(ids: string[], options: { force?: boolean }): Promise<void> {
    return this.#kept.remove(ids, options);
  }

  restoreCheckpoints(ids: string[]): Promise<void> {
    return this.#kept.restore(ids);
  }

  emptyBin(): Promise<{ bytes: number }> {
    return this.#kept.emptyBin();
  }

  planPrune(runId: string, policy: RetentionPolicy): Promise<PrunePlan> {
    return this.#kept.planPrune(runId, policy);
  }

  prune(runId: string, policy: RetentionPolicy): Promise<PrunePlan> {
    return this.#kept.prune(runId, policy);
  }

  verifyCheckpoint(id: string): Promise<{ damage: string | null }> {
    return this.#kept.verify(id);
  }

  async compare(a: string, b: string): Promise<Comparison> {
    return compareStored(await this.#kept.store(), a, b);
  }

  async exportCheckpoint(
    id: string,
    what: { kind: ExportKind; dtype: 'F32' | 'BF16' },
    onProgress: (progress: Progress) => void,
  ): Promise<{ name: string; blob: Blob }> {
    this.#transfer = new AbortController();
    return exportBlob(await this.#kept.store(), id, what, onProgress, this.#transfer.signal);
  }

  cancelTransfer(): Promise<void> {
    this.#transfer.abort();
    return Promise.resolve();
  }

  peek(files: readonly DroppedFile[]): Promise<{ peek: Peek; paths: string[] }> {
    return peekFiles(files, this.#model);
  }

  async importFiles(
    files: readonly DroppedFile[],
    onProgress: (progress: Progress) => void,
  ): Promise<{ checkpoint: CheckpointRow; alreadyThere: boolean; notes: string[] }> {
    this.#transfer = new AbortController();
    const store = await this.#kept.store();
    const { checkpoint, alreadyThere, notes } = await importFiles(
      store,
      files,
      onProgress,
      this.#transfer.signal,
    );
    return { checkpoint: await this.#kept.row(checkpoint), alreadyThere, notes: [...notes] };
  }

  proveResume(request: RunRequest, onProgress: (progress: Progress) => void): Promise<ResumeProof> {
    return this.#jobs.run(async () => {
      const { model, data } = { model: this.#model, data: this.#data };
      if (model === null || data === null)
        throw notReady('Model or data are not loaded.', 'Choose both first.');
      await this.#run?.release();
      const gpu = await this.#gpu.open();
      this.#base ??= await putOnGpu(model, gpu, onProgress);
      const { lora, training } = request;
      return proveResume(await this.#kept.store(), this.#base, model, data, {
        request: { lora, training, device: gpu.info.name, appVersion: version },
        before: PROOF_STEPS,
        after: PROOF_STEPS,
        onProgress: (done, total) => onProgress({ label: 'Checking', done, total }),
      });
    });
  }

  runExample(
    kind: ExampleKind,
    seed: number,
    onEvent: (event: ExampleEvent) => void,
  ): Promise<ExampleOutcome> {
    this.#example = new AbortController();
    const { signal } = this.#example;
    const store = (): Promise<CheckpointStore> => this.#kept.store();
    return this.#jobs.run(() => runExample(kind, seed, onEvent, signal, { gpu: this.#gpu, store }));
  }

  stopExample(): Promise<void> {
    this.#example.abort();
    return Promise.resolve();
  }

  #trained(): TrainingRun {
    if (this.#run !== null) return this.#run;
    throw notReady('There is no trained adapter.', 'Train one first.');
  }

  /** Ends the run and gives everything back. */
  dispose(): Promise<void> {
    this.#control?.stop();
    this.#example.abort();
    return this.#jobs.run(async () => {
      await this.#free();
      await this.#gpu.dispose();
    });
  }

  /** What the last run learned stays, for its export. */
  async #free(): Promise<void> {
    await this.#run?.release();
    this.#base?.dispose();
    this.#base = null;
    this.#model = null;
    this.#data = null;
  }

  /** The buffers are gone with the device; model and data can be put on a new one. */
  #lost(): void {
    if (this.#run?.over === true) void this.#run.release();
    else {
      void this.#run?.abandon();
      this.#run = null;
    }
    this.#base = null;
    this.#control?.stop();
    this.#breakRun(new StudioError(GPU_LOST));
  }
}

function putOnGpu(
  model: OpenModel,
  { device }: OpenGpu,
  tell: (progress: Progress) => void,
): Promise<BaseModel> {
  return loadBase(model, device, (done, total) => tell({ label: 'weights', done, total }));
}

function summarise(model: OpenModel, base: BaseModel | null): ModelSummary {
  const { id, config, parameters, dtype, template, weightBytes } = model;
  return {
    id,
    family: FAMILY_NAMES[config.family],
    parameters,
    dtype,
    layers: config.numLayers,
    hidden: config.hiddenSize,
    vocabulary: config.vocabSize,
    maxPositions: config.maxPositions,
    hasChatTemplate: template !== undefined,
    linearModules: targetNames(config),
    gpuBytes: base?.pool.bytes ?? weightBytes,
  };
}
