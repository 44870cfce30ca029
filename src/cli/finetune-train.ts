/** The training itself on the command line: progress, figures, saves, and Ctrl-C. */
import { finetune as train, type FinetuneResult, type StepMetrics, type Trainer } from '../engine/index.ts';
import type { RunSaver } from '../checkpoints/run-saver.ts';
import { toErrorFields } from '../errors.ts';
import type { PreparedData } from '../run/prepare-data.ts';
import type { Run } from '../run/start-run.ts';
import { onInterrupt } from './interrupt.ts';
import type { MetricsFile } from './metrics-file.ts';
import type { Reporter } from './progress.ts';
import { count, duration } from './words.ts';

export interface Training {
  run: Run;
  /** Makes the steps: the client of the run. */
  trainer: Trainer;
  data: PreparedData;
  /** Null where nothing is kept. */
  saver: RunSaver | null;
  metrics: MetricsFile;
  report: Reporter;
  /** Whether an adapter is written at the end, for what is said at Ctrl-C. */
  writes: boolean;
}

export interface Trained {
  result: FinetuneResult;
  evalLossBefore: number | null;
}

/** Trains to the end or to Ctrl-C, and saves the end. */
export async function trainRun(training: Training): Promise<Trained> {
  const { run, trainer, data, saver, metrics, report, writes } = training;
  const stop = new AbortController();
  let stepping = false;
  const interrupt = onInterrupt(() => {
    const then = `${saver === null ? '' : ', saving'}${writes ? ' and writing the adapter' : ''}`;
    report.note(`Ending after this step${then}. Press Ctrl-C again to end at once.`);
    // A step is whole with its evaluation: one that is cut off would put a wrong figure into what is saved.
    if (!stepping) stop.abort();
  });
  const write = tellOnce(report, (step: StepMetrics) => metrics.write(step));
  let evalLossBefore: number | null = null;
  try {
    const result = await train(
      trainer,
      data,
      run.training,
      {
        signal: stop.signal,
        beforeStep: () => {
          stepping = true;
          if (interrupt.signal.aborted) stop.abort();
          return Promise.resolve();
        },
        onEvaluation: (step, loss) => {
          if (stop.signal.aborted) return;
          saver?.evaluated(step, loss);
          evalLossBefore = loss;
          report.note(`Evaluation loss before training: ${loss.toFixed(4)}`);
        },
        onStep: async (step, position) => {
          await saver?.observe(step, position);
          write(step);
          report.progress('Training', step.step, run.steps, stepText(run, step));
        },
      },
      run.from,
    );
    await saver?.finish(result.stopped ? 'interrupt' : 'done');
    return { result, evalLossBefore };
  } finally {
    await saver?.settle();
    interrupt.release();
  }
}

function stepText(run: Run, step: StepMetrics): string {
  const evaluated = step.evalLoss === undefined ? '' : `  eval loss ${step.evalLoss.toFixed(4)}`;
  const left = (step.seconds / (step.step - run.from.step)) * (run.steps - step.step);
  return (
    `step ${step.step}/${run.steps}  loss ${step.loss.toFixed(4)}${evaluated}  lr ${step.lr.toExponential(2)}` +
    `  ${count(step.tokensPerSecond)} tokens/s  ${duration(left)} left`
  );
}

/** A file of figures that cannot be written any more ends no run: it is told once, and the run goes on without. */
function tellOnce<T>(report: Reporter, work: (value: T) => void): (value: T) => void {
  let failed = false;
  return (value) => {
    if (failed) return;
    try {
      work(value);
    } catch (error) {
      failed = true;
      const { code, message, fix } = toErrorFields(error);
      report.note(`No more figures are written (${code}): ${message} ${fix} The run goes on.`);
    }
  };
}
