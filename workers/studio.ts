/** What the worker holds: one model, one data set, one run. Loads and runs wait for each other in a queue. */
import { FAMILY_NAMES, targetNames, type BaseModel } from '../src/engine/index.ts';
import { StudioError, toErrorFields, type ErrorFields } from '../src/errors.ts';
import { loadBase } from '../src/run/load-base.ts';
import { openModel, type OpenModel } from '../src/run/open-model.ts';
import type { PreparedData } from '../src/run/prepare-data.ts';
import { tuneBase } from '../src/run/tune-base.ts';
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
import { EngineGpu, type OpenGpu } from './gpu.ts';
import { loadData } from './load-data.ts';
import { openModelFiles } from './model-files.ts';
import { Queue } from './queue.ts';
import { RunControl } from './run-control.ts';
import { RunEvents } from './run-events.ts';
import { TrainingRun } from './training-run.ts';
import { tuningCache } from './tuning-cache.ts';

const GPU_LOST: ErrorFields = {
  code: 'GPU_LOST',
  message:
    'The browser lost the GPU: its driver was reset, or the computer went to sleep. What was trained is gone.',
  fix: 'Start training again: the model is put on the GPU anew. If it happens again, close other programs that use the GPU, or choose a smaller batch size.',
};

function notReady(message: string, fix: string): StudioError {
  return new StudioError({ code: 'OPTION_INVALID', message, fix });
}

export class Studio implements StudioApi {
  readonly #gpu = new EngineGpu(() => this.#lost());
  readonly #jobs = new Queue();
  #model: OpenModel | null = null;
  /** The weights on the GPU; null where there is none, and after it was lost. */
  #base: BaseModel | null = null;
  #data: PreparedData | null = null;
  #loading = new AbortController();
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
      return summarise(model, this.#base);
    });
  }

  loadData(choice: DataChoice, options: DataOptions): Promise<DataSummary> {
    return this.#jobs.run(async () => {
      if (this.#model === null)
        throw notReady('No model is loaded to read the data with.', 'Load a model first.');
      this.#data = null;
      this.#data = await loadData(choice, this.#model, options);
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
    const parts = { base: this.#base, model, data, request, events, control, device: gpu.info.name };
    const run = await TrainingRun.create(parts);
    this.#run = run;
    events.push({ type: 'plan', steps: run.steps, memory: run.memory() });
    return run.train();
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

  #trained(): TrainingRun {
    if (this.#run !== null) return this.#run;
    throw notReady('There is no trained adapter.', 'Train one first.');
  }

  /** Ends the run and gives everything back. */
  dispose(): Promise<void> {
    this.#control?.stop();
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
    else this.#run = null;
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
