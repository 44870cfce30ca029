/** `lorikeet finetune`: checks everything it can, trains, keeps checkpoints, and writes the adapter when all went well. */
import { randomBytes } from 'node:crypto';
import { version } from '../../package.json';
import { RunSaver, type SavedEvent } from '../checkpoints/run-saver.ts';
import { beginRun, continueRun, type OpenedRun } from '../checkpoints/training-run.ts';
import { finetune as train, type FinetuneResult } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import { exportRun } from '../run/export-run.ts';
import { startRun, type Run } from '../run/start-run.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { checkTarget } from '../storage/node-fs.ts';
import { reportData } from './data-report.ts';
import { resumeNote, startOf, type Start } from './finetune-start.ts';
import { summaryJson, summaryText, type Finished } from './finetune-summary.ts';
import { withGpu, type OpenGpu } from './gpu.ts';
import { onInterrupt } from './interrupt.ts';
import { noteFailed, noteSaved, openStore, policyOf, resumeCommand } from './keeping.ts';
import { loadModel } from './load-model.ts';
import { openMetrics, type MetricsFile } from './metrics-file.ts';
import type { FinetuneOptions } from './options.ts';
import { createReporter, type Reporter } from './progress.ts';
import { writePaths } from './run-source.ts';
import { writeExport } from './sources.ts';
import { bytes, count, duration } from './words.ts';

/** Runs the command. */
export async function finetune(options: FinetuneOptions): Promise<void> {
  const report = createReporter(options);
  checkKeeping(options);
  if (options.out !== undefined) await checkTarget(options.out);
  const resuming = options.resume !== undefined;
  const store =
    options.save || resuming ? await openStore(options.store, !resuming, (text) => report.note(text)) : null;
  try {
    const start = await startOf(options, store, report);
    reportData(report, start.data.summary, start.paths.evalData);
    const metrics = openMetrics(options.metrics);
    try {
      const finished = await withGpu(options.device, report, (gpu) =>
        trainAndWrite(gpu, { options, report, start, store: options.save ? store : null, metrics }),
      );
      report.end();
      process.stdout.write(options.json ? summaryJson(finished) : summaryText(finished));
    } finally {
      metrics.close();
    }
  } finally {
    await store?.close();
  }
}

/** A run that is neither kept nor written would be lost. */
function checkKeeping({ save, out }: FinetuneOptions): void {
  if (save || out !== undefined) return;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: 'With --no-save and without --out nothing of the run would be left.',
    fix: 'Give --out, or leave --no-save out.',
  });
}

interface Job {
  options: FinetuneOptions;
  report: Reporter;
  start: Start;
  /** Null where nothing is kept. */
  store: CheckpointStore | null;
  metrics: MetricsFile;
}

async function openRun(store: CheckpointStore, { options, start }: Job): Promise<OpenedRun> {
  if (start.found !== null) return continueRun(store, start.found);
  const taken = new Set((await store.runs()).map(({ name }) => name));
  const stem = (path: string): string => path.replace(/^.*[/\\]/, '').replace(/\.[^.]*$/, '');
  const wanted =
    options.name ?? `${stem(start.model.id)}-${stem(start.data.summary.name)}`.replaceAll(/[^\w.-]+/g, '-');
  let name = wanted;
  for (let copy = 2; options.name === undefined && taken.has(name); copy++)
    name = `${wanted}-${String(copy)}`;
  if (taken.has(name)) {
    throw new StudioError({
      code: 'CHECKPOINT_EXISTS',
      message: `There is a run ${name} already.`,
      fix: `Choose another --name, or go on with it: ${resumeCommand(name, options.store)}`,
    });
  }
  const opened = await beginRun(store, {
    name,
    baseId: start.model.id,
    settings: writePaths(start.paths),
    metadata: start.parentId === null ? {} : { warmStart: start.parentId },
  });
  return { ...opened, parentId: start.parentId };
}

async function trainAndWrite(gpu: OpenGpu, job: Job): Promise<Finished> {
  const { options, report, start, store } = job;
  const { model, data, lora, training } = start;
  const base = await loadModel(model, gpu, report);
  const run = await startRun(base, model, data, {
    lora,
    training,
    device: gpu.info.name,
    appVersion: version,
  });
  const promise = resumeNote(start, gpu.info.name);
  if (promise !== null) report.note(promise);
  report.note(
    `Training ${count(run.trainableParameters)} parameters in ${count(run.steps - run.from.step)} steps; GPU memory: ${bytes(run.memory.total)}`,
  );
  const opened = store === null ? null : await openRun(store, job);
  const forked = opened !== null && start.found !== null && opened.run.id !== start.found.run.id;
  if (forked) report.note(`There are newer checkpoints, so the run goes on as a fork: ${opened.run.name}`);
  const saved: SavedEvent[] = [];
  const saver =
    store === null || opened === null
      ? null
      : new RunSaver({
          store,
          writer: opened.writer,
          run,
          policy: policyOf(options),
          parentId: opened.parentId,
          onSaved: (event) => {
            saved.push(event);
            noteSaved(report, event);
          },
          onFailed: (error) => noteFailed(report, error),
        });
  let evalLossBefore: number | null = null;
  const result = await trainWith(job, run, saver, (loss) => (evalLossBefore = loss));
  const last = result.metrics.at(-1);
  if (last === undefined) {
    throw new StudioError({
      code: 'CANCELLED',
      message: 'The run was ended before its first step, so there is nothing to write.',
      fix: 'Start it again.',
    });
  }
  if (options.out !== undefined) {
    const entries = await exportRun(run, model, {
      dtype: options.adapterDtype === 'bf16' ? 'BF16' : 'F32',
      now: new Date(),
      randomness: Uint8Array.from(randomBytes(20)),
      appVersion: version,
      device: gpu.info.name,
      metrics: last,
      evalLoss: last.evalLoss ?? result.evalLoss,
      name: `step-${last.step}`,
      parentId: opened?.parentId ?? start.parentId,
    });
    await writeExport(options.out, entries);
  }
  if (result.stopped && opened !== null && saved.length > 0) {
    report.note(`To go on: ${resumeCommand(opened.run.name, options.store)}`);
  }
  run.session.dispose();
  base.dispose();
  const kept = opened === null ? null : { run: opened.run.name, id: opened.run.id, saved };
  const out = options.out ?? null;
  return { out, run, data: data.summary, result, last, evalLossBefore, gpu: gpu.info.name, kept };
}

async function trainWith(
  { options, report, start, metrics }: Job,
  run: Run,
  saver: RunSaver | null,
  onFirstEvaluation: (loss: number) => void,
): Promise<FinetuneResult> {
  const written = options.out === undefined ? '' : ' and writing the adapter';
  const interrupt = onInterrupt(() => {
    report.note(
      `Ending after this step${saver === null ? '' : ', saving'}${written}. Press Ctrl-C again to end at once.`,
    );
  });
  try {
    const hooks: Parameters<typeof train>[3] = {
      signal: interrupt.signal,
      onEvaluation: (step, loss) => {
        saver?.evaluated(step, loss);
        onFirstEvaluation(loss);
        report.note(`Evaluation loss before training: ${loss.toFixed(4)}`);
      },
      onStep: async (step, position) => {
        await saver?.observe(step, position);
        metrics.write(step);
        const evaluated = step.evalLoss === undefined ? '' : `  eval loss ${step.evalLoss.toFixed(4)}`;
        const left = (step.seconds / (step.step - run.from.step)) * (run.steps - step.step);
        report.progress(
          'Training',
          step.step,
          run.steps,
          `step ${step.step}/${run.steps}  loss ${step.loss.toFixed(4)}${evaluated}  lr ${step.lr.toExponential(2)}` +
            `  ${count(step.tokensPerSecond)} tokens/s  ${duration(left)} left`,
        );
      },
    };
    const result = await train(run.session, start.data, run.training, hooks, run.from);
    await saver?.finish(result.stopped ? 'interrupt' : 'done');
    return result;
  } finally {
    await saver?.settle();
    interrupt.release();
  }
}
