/**
 * The proof that a resumed run is the run, on this GPU and with these data: k + m steps straight through, and k steps,
 * a checkpoint in the store, everything read back into a new session, m more; then every bit is compared.
 */
import {
  finetune,
  sessionTrainer,
  type BaseModel,
  type FinetuneData,
  type RunPosition,
  type StepMetrics,
} from '../engine/index.ts';
import type { Adapter } from '../formats/adapter.ts';
import { StudioError } from '../errors.ts';
import { snapshotSession } from '../run/capture.ts';
import type { OpenModel } from '../run/open-model.ts';
import type { PreparedData } from '../run/prepare-data.ts';
import { restoreRun, type RestoredRun } from '../run/restore.ts';
import { startRun, type Run, type RunRequest } from '../run/start-run.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { RunSaver } from './run-saver.ts';
import { DEFAULT_SAVE_POLICY } from './save-policy.ts';
import { beginRun } from './training-run.ts';

export interface ResumeProof {
  /** Steps before and after the checkpoint. */
  before: number;
  after: number;
  equal: boolean;
  /** Float32 values that were compared: weights and both moments. */
  values: number;
  /** What differs, by name, with how many values; empty when all bits are equal. */
  differences: { what: string; values: number; largest: number }[];
  /** Milliseconds that the save held training, that it took in all, and that reading back and checking took. */
  stallMs: number;
  saveMs: number;
  loadMs: number;
  bytes: number;
}

export interface ProofOptions {
  request: Omit<RunRequest, 'lora'> & { lora: Exclude<RunRequest['lora'], { resume: unknown }> };
  before: number;
  after: number;
  onProgress?: (step: number, steps: number) => void;
  signal?: AbortSignal;
  /** For tests: what is left out of the checkpoint, so that the proof must fail. */
  tamper?: (restored: RestoredRun) => RestoredRun;
}

type Figures = Pick<StepMetrics, 'step' | 'epoch' | 'loss' | 'lr' | 'gradNorm' | 'tokens'>;

interface End {
  weights: Adapter['tensors'];
  expAvg: Adapter['tensors'];
  expAvgSq: Adapter['tensors'];
  figures: Figures[];
}

/**
 * Runs the proof in a run of its own in the store, which is gone again afterwards. The settings' steps are replaced by
 * `before + after`. Throws what starting, saving or reading back throws, and CANCELLED.
 */
export async function proveResume(
  store: CheckpointStore,
  base: BaseModel,
  model: OpenModel,
  data: PreparedData,
  options: ProofOptions,
): Promise<ResumeProof> {
  const { before, after } = options;
  const steps = before + after;
  const request: RunRequest = { ...options.request, training: { ...options.request.training, steps } };
  const progress = (done: number): void => options.onProgress?.(done, 2 * steps);
  const train = async (run: Run, from: RunPosition, until: number, hooks: Partial<Hooks> = {}) => {
    const figures: Figures[] = [];
    const stop = new AbortController();
    const onStep = async (metrics: StepMetrics, position: RunPosition): Promise<void> => {
      const { step, epoch, loss, lr, gradNorm, tokens } = metrics;
      figures.push({ step, epoch, loss, lr, gradNorm, tokens });
      if (step === until || options.signal?.aborted === true) stop.abort();
      progress((hooks.offset ?? 0) + step);
      await hooks.onStep?.(metrics, position);
    };
    const rows: FinetuneData = { train: data.train, evaluation: [] };
    await finetune(sessionTrainer(run.session), rows, run.training, { onStep, signal: stop.signal }, from);
    throwIfStopped(options.signal);
    return figures;
  };
  const straight = await startRun(base, model, data, request);
  let whole: End;
  try {
    whole = await endOf(straight, await train(straight, straight.from, steps));
  } finally {
    straight.session.dispose();
  }
  const opened = await beginRun(store, { name: 'resume check', baseId: model.id });
  try {
    const first = await startRun(base, model, data, request);
    const policy = { ...DEFAULT_SAVE_POLICY, everyMinutes: 0, best: null, final: false, retention: {} };
    const saver = new RunSaver({ store, writer: opened.writer, run: first, policy, parentId: null });
    let saved;
    let figures: Figures[];
    try {
      figures = await train(first, first.from, before, {
        offset: steps,
        onStep: (metrics, position) => saver.observe(metrics, position),
      });
      saved = await saver.save('manual', { name: 'proof' });
    } finally {
      await saver.settle();
      first.session.dispose();
    }
    const loading = performance.now();
    const read = await restoreRun((await store.open(saved.checkpoint.id)).files());
    const loadMs = performance.now() - loading;
    const resume = options.tamper?.(read) ?? read;
    const second = await startRun(base, model, data, { ...request, lora: { resume } });
    try {
      const later = await train(second, second.from, steps, { offset: steps });
      const resumed = await endOf(second, [...figures, ...later]);
      const differences = compareEnds(whole, resumed);
      return {
        before,
        after,
        equal: differences.length === 0,
        values: 3 * whole.weights.reduce((sum, { data: values }) => sum + values.length, 0),
        differences,
        stallMs: saved.stallMs,
        saveMs: saved.stallMs + Math.max(0, ...Object.values(saved.times)),
        loadMs,
        bytes: saved.checkpoint.size,
      };
    } finally {
      second.session.dispose();
    }
  } finally {
    await opened.writer.release();
    await store.removeRun(opened.run.id);
    const binned = (await store.bin()).filter(({ checkpoint }) => checkpoint.runId === opened.run.id);
    await store.emptyBin(binned.map(({ id }) => id));
  }
}

interface Hooks {
  offset: number;
  onStep: (metrics: StepMetrics, position: RunPosition) => Promise<void>;
}

function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new StudioError({
    code: 'CANCELLED',
    message: 'The check was ended before it was over.',
    fix: 'Start it again.',
  });
}

async function endOf(run: Run, figures: Figures[]): Promise<End> {
  const { tensors, moments } = await snapshotSession(run.session);
  return { weights: tensors, ...moments, figures };
}

function compareEnds(a: End, b: End): ResumeProof['differences'] {
  const differences: ResumeProof['differences'] = [];
  for (const kind of ['weights', 'expAvg', 'expAvgSq'] as const) {
    for (const [i, { name, data: left }] of a[kind].entries()) {
      const right = b[kind][i]?.data ?? new Float32Array();
      const difference = differingBits(left, right);
      if (difference !== null) differences.push({ what: `${kind} of ${name}`, ...difference });
    }
  }
  a.figures.forEach((figures, i) => {
    const other = b.figures[i];
    if (JSON.stringify(figures) === JSON.stringify(other)) return;
    const largest = Math.abs(figures.loss - (other?.loss ?? NaN));
    differences.push({ what: `figures of step ${String(figures.step)}`, values: 1, largest });
  });
  return differences;
}

/** How many values differ in any bit, and the largest difference; null for none. */
function differingBits(
  a: Float32Array<ArrayBuffer>,
  b: Float32Array<ArrayBuffer>,
): { values: number; largest: number } | null {
  if (a.length !== b.length) return { values: Math.max(a.length, b.length), largest: Infinity };
  const [left, right] = [a, b].map((list) => new Uint32Array(list.buffer, list.byteOffset, list.length));
  let values = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    if (left?.[i] === right?.[i]) continue;
    values += 1;
    largest = Math.max(largest, Math.abs((a[i] ?? 0) - (b[i] ?? 0)));
  }
  return values === 0 ? null : { values, largest };
}
