/** One run from its session to its end: trains, asks the sample question, answers and exports in between. */
import {
  DEFAULT_GENERATE,
  finetune,
  Generator,
  type BaseModel,
  type FinetuneHooks,
  type StepMetrics,
} from '../src/engine/index.ts';
import { RunSaver, type ManualSave } from '../src/checkpoints/run-saver.ts';
import type { SavePolicy } from '../src/checkpoints/save-policy.ts';
import type { OpenedRun } from '../src/checkpoints/training-run.ts';
import { createWarningSink } from '../src/api/warnings.ts';
import { StudioError } from '../src/errors.ts';
import type { Adapter } from '../src/formats/adapter.ts';
import { toTarGz } from '../src/formats/archive-write.ts';
import { clientOfRun } from '../src/local/client-trainer.ts';
import { createLocalBackend } from '../src/local/local-backend.ts';
import { answer } from '../src/run/answer.ts';
import { encodePrompt } from '../src/run/encode-prompt.ts';
import { exportRun } from '../src/run/export-run.ts';
import type { OpenModel } from '../src/run/open-model.ts';
import type { PreparedData } from '../src/run/prepare-data.ts';
import { putQuestion } from '../src/run/prompt-form.ts';
import { startRun, type Run, type RunRequest as StartRequest } from '../src/run/start-run.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import type { CheckpointRecord } from '../src/storage/records.ts';
import { version } from '../package.json';
import type { MemoryEstimate, RunRequest, StepRecord } from './api.ts';
import type { CheckpointRow } from './checkpoints-api.ts';
import type { EngineGpu } from './gpu.ts';
import { noRun } from './kept-checkpoints.ts';
import { createBrowserHost } from './local-host.ts';
import { Queue } from './queue.ts';
import type { RunControl } from './run-control.ts';
import type { RunEvents } from './run-events.ts';

const SAMPLE_TOKENS = 64;
/** Room for a question of the person's own and its answer. */
const TEXT_TOKENS = 512;

/** What a run is made of. */
export interface RunParts {
  base: BaseModel;
  model: OpenModel;
  data: PreparedData;
  request: RunRequest;
  events: RunEvents;
  control: RunControl;
  gpu: EngineGpu;
  /** Name of the GPU. */
  device: string;
  /** What the run begins with: the request's adapter, a checkpoint, or a checkpoint's weights. */
  lora: StartRequest['lora'];
  training: StartRequest['training'];
  /** The run in the store, open for writing; null where nothing is saved. */
  kept: { store: CheckpointStore; opened: OpenedRun; policy: SavePolicy } | null;
  toRow: (checkpoint: CheckpointRecord) => Promise<CheckpointRow>;
}

export class TrainingRun {
  readonly #parts: RunParts;
  readonly #run: Run;
  readonly #generator: Generator;
  readonly #saver: RunSaver | null;
  /** Who has the GPU: a step, an answer or an export. */
  readonly #turns = new Queue();
  /** A copy of the adapter once the run is over: it outlives a lost GPU and a change of model. */
  #kept: Pick<Adapter, 'settings' | 'tensors'> | null = null;
  #released = false;
  #last: StepMetrics | null = null;
  #evalLoss: number | null = null;
  /** When the adapter came to be as it is, and the random bytes for its ids: two exports of one state are equal. */
  #stamp: { step: number; now: Date; randomness: Uint8Array } | null = null;

  private constructor(parts: RunParts, run: Run, generator: Generator) {
    this.#parts = parts;
    this.#run = run;
    this.#generator = generator;
    this.#saver = parts.kept === null ? null : saverOf(parts, parts.kept, run);
    this.#evalLoss = run.log.evalLoss;
  }

  /** Puts everything on the GPU. Throws as `startRun` does; then nothing of the run stays there. */
  static async create(parts: RunParts): Promise<TrainingRun> {
    const { base, model, data, request, lora, training, device } = parts;
    const run = await startRun(base, model, data, { lora, training, device, appVersion: version });
    try {
      const { prompt, raw } = putQuestion(request.samplePrompt, data.promptForm);
      const length = Math.max(TEXT_TOKENS, encodePrompt(model, prompt, raw).length + SAMPLE_TOKENS);
      return new TrainingRun(parts, run, await Generator.create(base, run.session.state, length));
    } catch (error) {
      run.session.dispose();
      throw error;
    }
  }

  /** The figures of what a resumed run has done before. */
  get history(): StepRecord[] {
    const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
    return this.#run.log.records.map((record) => {
      const figures = {
        loss: number(record['loss']),
        evalLoss: number(record['evalLoss']),
        lr: number(record['lr']),
        gradNorm: number(record['gradNorm']),
      };
      const known = Object.entries(figures).filter(([, value]) => value !== undefined);
      return { step: record.step, ...(Object.fromEntries(known) as Omit<StepRecord, 'step'>) };
    });
  }

  get steps(): number {
    return this.#run.steps;
  }

  /** A name for files: the model's and the data's. */
  get name(): string {
    const model = this.#parts.model.id.replace(/^.*\//, '');
    const data = this.#run.dataName.replace(/\.[^.]*$/, '');
    return `${model}-${data}`.replace(/[^\w.-]+/g, '-').slice(0, 100);
  }

  /** GPU memory of the run, in bytes; the model's size beside what is trained of it. */
  memory(): MemoryEstimate {
    const { steps, trainableParameters, session } = this.#run;
    const { parameters } = this.#parts.model;
    return { ...session.memory(), trainable: trainableParameters, parameters, steps };
  }

  /** Trains to the end or until it is stopped; tells everything but how it ended. Throws LOSS_NOT_FINITE. */
  async train(): Promise<'done' | 'stopped'> {
    const { data, events, control } = this.#parts;
    const { signal } = control;
    const saver = this.#saver;
    let leave = await this.#turns.enter();
    try {
      await this.#sample(0, signal);
      events.push({ type: 'state', state: signal.aborted ? 'stopping' : 'running' });
      const hooks: FinetuneHooks = {
        signal,
        onEvaluation: (step, loss) => {
          // Ended in between, it is the loss over some of the rows only.
          if (signal.aborted) return;
          saver?.evaluated(step, loss);
          events.push({ type: 'evaluation', step, loss });
        },
        beforeStep: async () => {
          if (control.pausing) await saver?.saveUnlessSaved('pause');
          leave();
          await control.gate();
          leave = await this.#turns.enter();
        },
        onStep: async (metrics, position) => {
          await saver?.observe(metrics, position);
          await this.#told(metrics, signal);
        },
      };
      const stopped = await this.#trainThrough(data, hooks);
      if (this.#last !== null) await this.#sample(this.#last.step);
      await saver?.finish(stopped ? 'stopped' : 'done');
      this.#kept = await this.#run.session.adapter();
      return stopped ? 'stopped' : 'done';
    } finally {
      leave();
      await saver?.settle();
      await this.#parts.kept?.opened.writer.release();
    }
  }

  /** The loop, on a client of the programming interface: the same path that programs train on. */
  async #trainThrough(data: PreparedData, hooks: FinetuneHooks): Promise<boolean> {
    const { base, model, gpu, kept } = this.#parts;
    const store = kept === null ? undefined : (): Promise<CheckpointStore> => Promise.resolve(kept.store);
    const host = createBrowserHost({ gpu, ...(store === undefined ? {} : { store }) });
    const backend = createLocalBackend({ host, userMetadata: null, warnings: createWarningSink() });
    const { trainer, close } = await clientOfRun(backend, this.#run, {
      base,
      model,
      gpu: await gpu.open(),
      writer: kept?.opened.writer ?? null,
      parentId: kept?.opened.parentId ?? null,
    });
    try {
      const { training, from } = this.#run;
      return (await finetune(trainer, data, training, hooks, from)).stopped;
    } finally {
      await close();
    }
  }

  /** Saves by hand, between two steps. Throws CHECKPOINT_NAME, CHECKPOINT_EXISTS or STORE_FULL, and OPTION_INVALID once the run is over. */
  save(what: ManualSave): Promise<CheckpointRecord> {
    return this.#turns.run(async () => {
      const saver = this.#saver;
      if (saver === null || this.#kept !== null || this.#released) throw noRun();
      return (await saver.save('manual', what)).checkpoint;
    });
  }

  /** The page is hidden: saves what is not saved yet, between two steps. */
  saveHidden(): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#kept === null && !this.#released) await this.#saver?.saveUnlessSaved('hidden');
    });
  }

  async #told({ evalLoss, ...metrics }: StepMetrics, signal: AbortSignal): Promise<void> {
    const { events, request } = this.#parts;
    const evaluated = evalLoss !== undefined && !signal.aborted;
    if (evaluated) this.#evalLoss = evalLoss;
    this.#last = metrics;
    events.push({ type: 'metrics', metrics: [evaluated ? { ...metrics, evalLoss } : metrics] });
    const { sampleEvery } = request;
    const due = sampleEvery > 0 && metrics.step % sampleEvery === 0 && metrics.step < this.steps;
    if (due && !signal.aborted) await this.#sample(metrics.step, signal);
  }

  /** Asks the sample question and sends the answer as it grows. Data without a question has no sample. */
  async #sample(step: number, signal?: AbortSignal): Promise<void> {
    const { events, request } = this.#parts;
    const prompt = request.samplePrompt;
    if (prompt.trim() === '') return;
    let text = '';
    for await (const piece of this.#answer(prompt, step === 0 ? 0 : 1, SAMPLE_TOKENS, signal)) {
      text += piece;
      events.push({ type: 'sample', step, prompt, text, done: false });
    }
    events.push({ type: 'sample', step, prompt, text, done: true });
  }

  async *#answer(
    question: string,
    adapterScale: number,
    maxTokens: number,
    signal?: AbortSignal,
  ): AsyncGenerator<string, void, undefined> {
    const { model, data } = this.#parts;
    const { prompt, raw } = putQuestion(question, data.promptForm);
    const options = { ...DEFAULT_GENERATE, adapterScale, maxTokens, stopTexts: [], raw };
    for await (const { text } of answer(this.#generator, model, prompt, options, signal)) yield text;
  }

  /** The whole answer to a prompt; between two steps, if the run is still going. */
  answer(prompt: string, adapterScale: number, maxTokens: number): Promise<string> {
    return this.#turns.run(async () => {
      if (this.#released) {
        throw new StudioError({
          code: 'OPTION_INVALID',
          message: 'The model that this adapter belongs to is no longer loaded.',
          fix: 'The adapter can still be downloaded. Train again to ask it here.',
        });
      }
      let text = '';
      for await (const piece of this.#answer(prompt, adapterScale, maxTokens)) text += piece;
      return text;
    });
  }

  /** The adapter as it is now, as a `.tar.gz`. */
  export(dtype: 'F32' | 'BF16'): Promise<Blob> {
    return this.#turns.run(async () => {
      const step = this.#last?.step ?? 0;
      if (this.#stamp?.step !== step)
        this.#stamp = { step, now: new Date(), randomness: crypto.getRandomValues(new Uint8Array(20)) };
      const kept = this.#kept;
      const session = kept === null ? this.#run.session : { adapter: () => Promise.resolve(kept) };
      const entries = await exportRun({ ...this.#run, session }, this.#parts.model, {
        ...this.#stamp,
        dtype,
        appVersion: version,
        device: this.#parts.device,
        metrics: this.#last,
        evalLoss: this.#evalLoss,
        name: `step-${step}`,
        parentId: this.#parts.kept?.opened.parentId ?? null,
      });
      const headers = { 'Content-Type': 'application/gzip' };
      return new Response(toTarGz(entries), { headers }).blob();
    });
  }

  /** Whether the run has ended and its adapter is kept. */
  get over(): boolean {
    return this.#kept !== null;
  }

  /** Lets go of the run in the store when the GPU is gone: what was saved can be resumed. */
  async abandon(): Promise<void> {
    await this.#parts.kept?.opened.writer.release();
  }

  /** Waits for what is under way, then takes the run off the GPU. What it learned can still be exported. */
  release(): Promise<void> {
    return this.#turns.run(() => {
      if (this.#released) return Promise.resolve();
      this.#released = true;
      this.#generator.dispose();
      this.#run.session.dispose();
      return Promise.resolve();
    });
  }
}

/** Saves the run and tells the page of it. */
function saverOf(parts: RunParts, kept: NonNullable<RunParts['kept']>, run: Run): RunSaver {
  const { events, toRow } = parts;
  const { store, opened, policy } = kept;
  const { writer, parentId } = opened;
  return new RunSaver({
    store,
    writer,
    run,
    policy,
    parentId,
    onSaved: ({ checkpoint, stallMs, times, writtenBytes, removed }) => {
      const ms = Math.max(0, ...Object.values(times));
      const names = removed.map(({ name }) => name);
      void toRow(checkpoint).then((row) =>
        events.push({ type: 'saved', checkpoint: row, stallMs, ms, bytes: writtenBytes, removed: names }),
      );
    },
    onFailed: (error) => events.push({ type: 'saveFailed', error }),
  });
}
