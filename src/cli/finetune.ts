/** `lorikeet finetune`: checks everything it can, trains, keeps checkpoints, and writes the adapter when all went well. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { version } from '../../package.json';
import type { StepMetrics } from '../engine/index.ts';
import { StudioError, type ErrorFields } from '../errors.ts';
import { clientOfRun } from '../local/client-trainer.ts';
import { exportRun } from '../run/export-run.ts';
import { startRun, type Run } from '../run/start-run.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { checkTarget } from '../storage/node-fs.ts';
import { reportData } from './data-report.ts';
import { commandAfter, keepRun, type KeptRun } from './finetune-keep.ts';
import { promiseOf, startOf, type Start } from './finetune-start.ts';
import { summaryJson, summaryText, type Finished } from './finetune-summary.ts';
import { trainRun, type Trained } from './finetune-train.ts';
import { withGpu, type OpenGpu } from './gpu.ts';
import { openStore } from './keeping.ts';
import { loadModel } from './load-model.ts';
import { openMetrics, type MetricsFile } from './metrics-file.ts';
import { createNodeBackend } from './node-host.ts';
import type { FinetuneOptions } from './options.ts';
import { createReporter, type Reporter } from './progress.ts';
import { writeExport } from './sources.ts';
import { bytes, count } from './words.ts';

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
    const metrics = openMetrics(options.metrics, 'resume' in start.lora ? start.lora.resume.state.step : 0);
    try {
      const job = { options, report, start, store: options.save ? store : null, metrics };
      const { finished, lost } = await withGpu(options.device, report, (gpu) => trainAndWrite(gpu, job));
      report.end();
      process.stdout.write(options.json ? summaryJson(finished) : summaryText(finished));
      if (lost !== null) throw new StudioError(lost);
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

interface Outcome {
  finished: Finished;
  /** Why the state at the end is not in the store, where nobody asked for the adapter besides. */
  lost: ErrorFields | null;
}

async function trainAndWrite(gpu: OpenGpu, job: Job): Promise<Outcome> {
  const { options, report, start, store, metrics } = job;
  const { model, data, lora, training } = start;
  const base = await loadModel(model, gpu, report);
  const request = { lora, training, device: gpu.info.name, appVersion: version };
  const run = await startRun(base, model, data, request);
  const promise = promiseOf(start, gpu.info.name);
  if (promise !== null) report.note(promise.text);
  report.note(
    `Training ${count(run.trainableParameters)} parameters in ${count(run.steps - run.from.step)} steps; GPU memory: ${bytes(run.memory.total)}`,
  );
  const kept = store === null ? null : await keepRun(store, options, start, run, report);
  const writer = kept?.writer ?? null;
  const backend = createNodeBackend({ device: gpu, store: store ?? options.store, report });
  const parts = { base, model, gpu, writer, parentId: kept?.parentId ?? null };
  const { trainer, close } = await clientOfRun(backend, run, parts);
  try {
    const writes = options.out !== undefined;
    const saver = kept?.saver ?? null;
    const trained = await trainRun({ run, trainer, data, saver, metrics, report, writes });
    return await ended(job, gpu, run, kept, trained);
  } finally {
    await close();
    await kept?.close();
    run.session.dispose();
    base.dispose();
  }
}

/** Writes what is to be written, and sums up. */
async function ended(
  { options, report, start }: Job,
  gpu: OpenGpu,
  run: Run,
  kept: KeptRun | null,
  { result, evalLossBefore }: Trained,
): Promise<Outcome> {
  const last = result.metrics.at(-1) ?? null;
  if (last === null && start.found === null) {
    throw new StudioError({
      code: 'CANCELLED',
      message: 'The run was ended before its first step, so there is nothing to write.',
      fix: 'Start it again.',
    });
  }
  const write = async (path: string): Promise<void> => {
    const parentId = kept?.parentId ?? start.found?.record.id ?? start.parentId;
    await writeExport(
      path,
      await entriesOf(run, start, { last, evalLoss: result.evalLoss, parentId }, gpu, options),
    );
  };
  if (options.out !== undefined) await write(options.out);
  const isKept =
    last === null || (kept?.saved.some(({ checkpoint }) => checkpoint.step === last.step) ?? false);
  const lost = isKept || options.out !== undefined ? null : await rescue(kept, write);
  const command = result.stopped && kept !== null ? commandAfter(kept, start, options) : null;
  if (command !== null) report.note(`To go on: ${command}`);
  const finished: Finished = {
    out: options.out ?? null,
    run,
    data: start.data.summary,
    result,
    last,
    evalLossBefore,
    gpu: gpu.info.name,
    kept: kept !== null && (kept.saved.length > 0 || start.found?.run.id === kept.id) ? kept : null,
    failed: kept?.failed ?? [],
    from: fromOf(start, promiseOf(start, gpu.info.name)?.exact ?? false),
    resume: command,
  };
  return { finished, lost };
}

function fromOf(start: Start, exact: boolean): Finished['from'] {
  if (start.found === null || !('resume' in start.lora)) return null;
  const { run, record } = start.found;
  return { run: run.name, name: record.name, step: start.lora.resume.state.step, exact };
}

/**
 * Where the end of the run could not be saved and no `--out` is given, its adapter would be gone with the program: it is
 * written beside, which takes a third of the room. Says what went wrong.
 */
async function rescue(kept: KeptRun | null, write: (path: string) => Promise<void>): Promise<ErrorFields> {
  const name = kept?.name ?? 'lorikeet';
  let path = `${name}-rescued.tar.gz`;
  for (let copy = 2; existsSync(path); copy++) path = `${name}-rescued-${String(copy)}.tar.gz`;
  const cause = kept?.failed.at(-1);
  const written = await write(path).then(
    () => `Its adapter was written to ${path}.`,
    () => `Its adapter could not be written to ${path} either.`,
  );
  return {
    code: cause?.code ?? 'STORE_FAILED',
    message: `The end of the run is not in the store: ${cause?.message ?? 'it was not saved.'} ${written}`,
    fix: cause?.fix ?? 'Give another --store.',
  };
}

async function entriesOf(
  run: Run,
  { model }: Start,
  at: { last: StepMetrics | null; evalLoss: number | null; parentId: string | null },
  gpu: OpenGpu,
  { adapterDtype }: FinetuneOptions,
): ReturnType<typeof exportRun> {
  const { last, evalLoss, parentId } = at;
  return exportRun(run, model, {
    dtype: adapterDtype === 'bf16' ? 'BF16' : 'F32',
    now: new Date(),
    randomness: Uint8Array.from(randomBytes(20)),
    appVersion: version,
    device: gpu.info.name,
    metrics: last,
    evalLoss: last?.evalLoss ?? evalLoss,
    name: `step-${String(last?.step ?? run.from.step)}`,
    parentId,
  });
}
