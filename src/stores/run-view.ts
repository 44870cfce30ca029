/** The run as the page sees it: a mirror of the worker's events, and figures drawn from it. */
import type { MemoryEstimate, Progress, RunEvent, RunState, StepRecord } from '../../workers/api.ts';
import type { ErrorFields } from '../errors.ts';

export type StepMetrics = Extract<RunEvent, { type: 'metrics' }>['metrics'][number];
export type RunSample = Omit<Extract<RunEvent, { type: 'sample' }>, 'type'>;

export type SavedEvent = Extract<RunEvent, { type: 'saved' }>;
export type KeptRun = Omit<Extract<RunEvent, { type: 'run' }>, 'type'>;

export interface RunView {
  state: RunState;
  /** A pause was asked for, and the step under way goes on. */
  pausing: boolean;
  /** Steps that the run will take; 0 until they are known. */
  steps: number;
  memory: MemoryEstimate | null;
  progress: Progress | null;
  metrics: readonly StepMetrics[];
  /** What a resumed run had done before, in order of step. */
  history: readonly StepRecord[];
  /** The run in the store; null where it is not kept. */
  kept: KeptRun | null;
  /** The last save, and why the one after it failed. */
  saved: SavedEvent | null;
  saveError: ErrorFields | null;
  /** Evaluation losses in order of step, the one before the first step included. */
  evaluations: readonly { step: number; loss: number }[];
  /** The latest text per step that was sampled, in order of step. */
  samples: readonly RunSample[];
  error: ErrorFields | null;
}

export const NO_RUN: RunView = {
  state: 'idle',
  pausing: false,
  steps: 0,
  memory: null,
  progress: null,
  metrics: [],
  history: [],
  kept: null,
  saved: null,
  saveError: null,
  evaluations: [],
  samples: [],
  error: null,
};

/** The view after one more event. */
export function applyEvent(run: RunView, event: RunEvent): RunView {
  switch (event.type) {
    case 'state':
      return { ...run, state: event.state, pausing: false, progress: null };
    case 'plan':
      return { ...run, steps: event.steps, memory: event.memory };
    case 'progress':
      return { ...run, progress: event.progress };
    case 'metrics':
      return {
        ...run,
        metrics: [...run.metrics, ...event.metrics],
        evaluations: withMetrics(run, event.metrics),
      };
    case 'evaluation':
      return { ...run, evaluations: [...run.evaluations, { step: event.step, loss: event.loss }] };
    case 'sample': {
      const { type: _, ...sample } = event;
      return { ...run, samples: [...run.samples.filter(({ step }) => step !== sample.step), sample] };
    }
    case 'run': {
      const { type: _, ...kept } = event;
      return { ...run, kept };
    }
    case 'history':
      return { ...run, history: event.records, evaluations: evaluatedIn(event.records) };
    case 'saved':
      return { ...run, saved: event, saveError: null };
    case 'saveFailed':
      return { ...run, saveError: event.error };
    case 'error':
      return { ...run, state: 'failed', error: event.error, progress: null };
    default:
      return event satisfies never;
  }
}

function evaluatedIn(records: readonly { step: number; evalLoss?: number }[]): RunView['evaluations'] {
  return records.flatMap(({ step, evalLoss }) => (evalLoss === undefined ? [] : [{ step, loss: evalLoss }]));
}

function withMetrics(run: RunView, metrics: readonly StepMetrics[]): RunView['evaluations'] {
  const evaluated = evaluatedIn(metrics);
  return evaluated.length === 0 ? run.evaluations : [...run.evaluations, ...evaluated];
}

/** Optimizer steps that are done, those before a resumption included. */
export function stepsDone(run: RunView): number {
  return run.metrics.at(-1)?.step ?? run.kept?.from?.step ?? 0;
}

/** The worker is busy with a run: the choice of model and data stands. */
export function isBusy(state: RunState): boolean {
  return state === 'preparing' || state === 'running' || state === 'paused' || state === 'stopping';
}

/** The run ended and left an adapter. */
export function hasAdapter(run: RunView): boolean {
  return (run.state === 'done' || run.state === 'stopped') && run.metrics.length > 0;
}

/** There is something to download: a run may be looked at while it is held. */
export function canDownload(run: RunView): boolean {
  return hasAdapter(run) || (run.state === 'paused' && run.metrics.length > 0);
}

/** The samples to put side by side; `during` is the latest one between the first step and the end. */
export function comparedSamples(run: RunView): {
  before: RunSample | null;
  during: RunSample | null;
  after: RunSample | null;
} {
  const before = run.samples.find(({ step }) => step === 0) ?? null;
  const later = run.samples.filter(({ step }) => step > 0);
  const after = hasAdapter(run) ? (later.at(-1) ?? null) : null;
  const during = later.findLast((sample) => sample !== after) ?? null;
  return { before, during, after };
}

const RECENT_STEPS = 20;

/** Seconds until the last step at the pace of the recent steps, or null before the second step. */
export function secondsLeft(run: RunView): number | null {
  const recent = run.metrics.slice(-RECENT_STEPS);
  const first = recent.at(0);
  const last = recent.at(-1);
  if (first === undefined || last === undefined || first === last) return null;
  const perStep = (last.seconds - first.seconds) / (last.step - first.step);
  return perStep * (run.steps - last.step);
}

/** Tokens per second over the recent steps, or null before the first; single steps differ by the lengths of their rows. */
export function recentSpeed(run: RunView): number | null {
  const recent = run.metrics.slice(-RECENT_STEPS);
  if (recent.length === 0) return null;
  const tokens = recent.reduce((sum, step) => sum + step.tokens, 0);
  return tokens / recent.reduce((sum, step) => sum + step.tokens / step.tokensPerSecond, 0);
}

const SMOOTHING = 0.8;

/** An exponential moving average that starts at the first value instead of at zero. */
export function smooth(values: readonly number[]): number[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    sum = SMOOTHING * sum + (1 - SMOOTHING) * value;
    weight = SMOOTHING * weight + (1 - SMOOTHING);
    return sum / weight;
  });
}

type Column = (number | null)[];

/** The chart's columns: step, training loss, smoothed training loss, evaluation loss; null where there is none. */
export function lossColumns(
  run: RunView,
): [steps: number[], raw: Column, smoothed: Column, evaluation: Column] {
  const before = run.history.flatMap(({ step, loss }) => (loss === undefined ? [] : [{ step, loss }]));
  const trained = [...before, ...run.metrics];
  const losses = smooth(trained.map(({ loss }) => loss));
  const rows = new Map<number, [number | null, number | null, number | null]>();
  trained.forEach(({ step, loss }, index) => rows.set(step, [loss, losses[index] ?? null, null]));
  for (const { step, loss } of run.evaluations) {
    const [raw, smoothed] = rows.get(step) ?? [null, null];
    rows.set(step, [raw, smoothed, loss]);
  }
  const steps = [...rows.keys()].sort((a, b) => a - b);
  const column = (index: 0 | 1 | 2): Column => steps.map((step) => rows.get(step)?.[index] ?? null);
  return [steps, column(0), column(1), column(2)];
}
