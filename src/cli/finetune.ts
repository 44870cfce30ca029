/** `lorikeet finetune`: checks everything it can, trains, and writes the adapter only when all went well. */
import { randomBytes } from 'node:crypto';
import { version } from '../../package.json';
import { finetune as train, type FinetuneConfig, type FinetuneResult } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { AdapterRead } from '../formats/archive-read.ts';
import { exportRun } from '../run/export-run.ts';
import type { OpenModel } from '../run/open-model.ts';
import { prepareData, type PreparedData } from '../run/prepare-data.ts';
import { startRun, type Run, type RunRequest } from '../run/start-run.ts';
import { checkTarget } from '../storage/node-fs.ts';
import { reportData } from './data-report.ts';
import { withGpu, type OpenGpu } from './gpu.ts';
import { onInterrupt } from './interrupt.ts';
import { loadModel } from './load-model.ts';
import { openMetrics, type MetricsFile } from './metrics-file.ts';
import type { FinetuneOptions } from './options.ts';
import { createReporter, type Reporter } from './progress.ts';
import { openAdapterAt, openModelAt, readDataFile, writeExport } from './sources.ts';
import { summaryJson, summaryText, type Finished } from './finetune-summary.ts';
import { bytes, count, duration } from './words.ts';

/** Runs the command. */
export async function finetune(options: FinetuneOptions): Promise<void> {
  const report = createReporter(options);
  await checkTarget(options.out);
  const model = await openModelAt(options.model, report);
  const data = prepareData(await dataInput(options), model, options);
  reportData(report, data.summary, options.evalData ?? null);
  const start = options.initAdapter === undefined ? null : await openAdapterAt(options.initAdapter, report);
  const metrics = openMetrics(options.metrics);
  try {
    const finished = await withGpu(options.device, report, (gpu) =>
      trainAndWrite(gpu, { options, report, model, data, start, metrics }),
    );
    report.end();
    process.stdout.write(options.json ? summaryJson(finished) : summaryText(finished));
  } finally {
    metrics.close();
  }
}

async function dataInput({ data, evalData }: FinetuneOptions): Promise<Parameters<typeof prepareData>[0]> {
  const rows = await readDataFile(data);
  return evalData === undefined ? rows : { ...rows, evaluation: await readDataFile(evalData) };
}

interface Job {
  options: FinetuneOptions;
  report: Reporter;
  model: OpenModel;
  data: PreparedData;
  /** The adapter to go on from. */
  start: AdapterRead | null;
  metrics: MetricsFile;
}

async function trainAndWrite(gpu: OpenGpu, job: Job): Promise<Finished> {
  const { options, report, model, data, start } = job;
  const base = await loadModel(model, gpu, report);
  const training = trainingOf(options);
  const run = await startRun(base, model, data, {
    lora: loraOf(options, start),
    training,
    device: gpu.info.name,
    appVersion: version,
  });
  const { memory } = run;
  report.note(
    `Training ${count(run.trainableParameters)} parameters in ${count(run.steps)} steps; GPU memory: ${bytes(memory.total)}`,
  );
  let evalLossBefore: number | null = null;
  const result = await trainWith(job, run, (loss) => (evalLossBefore = loss));
  const last = result.metrics.at(-1);
  if (last === undefined) {
    throw new StudioError({
      code: 'CANCELLED',
      message: 'The run was ended before its first step, so there is nothing to write.',
      fix: 'Start it again.',
    });
  }
  const entries = await exportRun(run, model, {
    dtype: options.adapterDtype === 'bf16' ? 'BF16' : 'F32',
    now: new Date(),
    randomness: Uint8Array.from(randomBytes(20)),
    appVersion: version,
    device: gpu.info.name,
    metrics: last,
    evalLoss: last.evalLoss ?? result.evalLoss,
    name: `step-${last.step}`,
    parentId: start?.manifest?.id ?? null,
  });
  await writeExport(options.out, entries);
  run.session.dispose();
  base.dispose();
  return { out: options.out, run, data: data.summary, result, last, evalLossBefore, gpu: gpu.info.name };
}

async function trainWith(
  { report, data, metrics }: Job,
  run: Run,
  onFirstEvaluation: (loss: number) => void,
): Promise<FinetuneResult> {
  const interrupt = onInterrupt(() => {
    report.note('Ending after this step and writing the adapter. Press Ctrl-C again to end without it.');
  });
  try {
    return await train(run.session, data, run.training, {
      signal: interrupt.signal,
      onEvaluation: (_step, loss) => {
        onFirstEvaluation(loss);
        report.note(`Evaluation loss before training: ${loss.toFixed(4)}`);
      },
      onStep: (step) => {
        metrics.write(step);
        const evaluated = step.evalLoss === undefined ? '' : `  eval loss ${step.evalLoss.toFixed(4)}`;
        const left = (step.seconds / step.step) * (run.steps - step.step);
        report.progress(
          'Training',
          step.step,
          run.steps,
          `step ${step.step}/${run.steps}  loss ${step.loss.toFixed(4)}${evaluated}  lr ${step.lr.toExponential(2)}` +
            `  ${count(step.tokensPerSecond)} tokens/s  ${duration(left)} left`,
        );
      },
    });
  } finally {
    interrupt.release();
  }
}

function trainingOf(options: FinetuneOptions): FinetuneConfig {
  const { epochs, batchSize, gradAccumulation, lr, schedule, warmupSteps, beta1, beta2, eps } = options;
  const { weightDecay, gradClip, seed, shuffle, evalEvery } = options;
  return {
    epochs,
    steps: options.steps ?? null,
    batchSize,
    gradAccumulation,
    learningRate: lr,
    schedule,
    warmupSteps,
    beta1,
    beta2,
    eps,
    weightDecay,
    gradClip,
    seed,
    shuffle,
    evalEvery,
  };
}

/** An adapter to go on from brings its rank, alpha, scale and targets; dropout is a matter of this run. */
function loraOf(options: FinetuneOptions, start: AdapterRead | null): RunRequest['lora'] {
  const { rank, alpha, dropout, rslora, targets } = options;
  if (start === null) return { rank, alpha, dropout, rslora, targets };
  return { adapter: { ...start.adapter, settings: { ...start.adapter.settings, dropout } } };
}
