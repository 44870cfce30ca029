/** Where `lorikeet finetune` begins: a new run, the weights of an adapter, or a kept checkpoint with everything. */
import { existsSync } from 'node:fs';
import { readHfTrainer } from '../formats/hf-trainer.ts';
import { readAdapterFolder } from '../formats/archive-read.ts';
import type { Adapter } from '../formats/adapter.ts';
import { StudioError } from '../errors.ts';
import { restoredFromTrainer, TRAINER_PROMISE } from '../checkpoints/resume-trainer.ts';
import { findCheckpoint, type FoundCheckpoint } from '../checkpoints/training-run.ts';
import type { OpenModel } from '../run/open-model.ts';
import { prepareData, type PreparedData } from '../run/prepare-data.ts';
import { checkBase, restoreRun, resumePromise, stepsLeft, type RestoredRun } from '../run/restore.ts';
import type { RunRequest } from '../run/start-run.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { FinetuneOptions } from './options.ts';
import type { Reporter } from './progress.ts';
import { pathsOf, type RunPaths } from './run-source.ts';
import { openAdapterAt, openModelAt, readDataFile } from './sources.ts';
import { checkGiven, preparationOf, trainingOf } from './training-config.ts';

export interface Start {
  model: OpenModel;
  data: PreparedData;
  lora: RunRequest['lora'];
  training: RunRequest['training'];
  paths: RunPaths;
  /** The checkpoint that the run goes on from; null for a new run. */
  found: FoundCheckpoint | null;
  /** The checkpoint whose weights alone a new run starts from. */
  parentId: string | null;
}

async function readData(paths: RunPaths): Promise<Parameters<typeof prepareData>[0]> {
  const rows = await readDataFile(paths.data);
  return paths.evalData === null ? rows : { ...rows, evaluation: await readDataFile(paths.evalData) };
}

function required(name: 'model' | 'data', value: string | undefined): string {
  if (value !== undefined) return value;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `Required option '--${name}' is not given.`,
    fix: 'Run `lorikeet finetune --help` for what there is.',
  });
}

/** Opens model and data and finds out what the run begins with. `store` is null where nothing is kept. */
export async function startOf(
  options: FinetuneOptions,
  store: CheckpointStore | null,
  report: Reporter,
): Promise<Start> {
  if (options.resume !== undefined && store !== null) return resumed(options, options.resume, store, report);
  const paths: RunPaths = {
    model: required('model', options.model),
    data: required('data', options.data),
    evalData: options.evalData ?? null,
  };
  const model = await openModelAt(paths.model, report);
  const data = prepareData(await readData(paths), model, preparationOf(options));
  const adapter = await warmStart(options, store, model, report);
  const { rank, alpha, dropout, rslora, targets } = options;
  const lora: RunRequest['lora'] =
    adapter === null
      ? { rank, alpha, dropout, rslora, targets }
      : // Dropout is a matter of this run; all else the adapter brings.
        { adapter: { ...adapter.adapter, settings: { ...adapter.adapter.settings, dropout } } };
  const parentId = adapter?.id ?? null;
  return { model, data, lora, training: trainingOf(options), paths, found: null, parentId };
}

/** The adapter that `--init-adapter` names: a path, or a checkpoint of the store. */
async function warmStart(
  { initAdapter }: FinetuneOptions,
  store: CheckpointStore | null,
  model: OpenModel,
  report: Reporter,
): Promise<{ adapter: Adapter; id: string | null } | null> {
  if (initAdapter === undefined) return null;
  if (existsSync(initAdapter) || store === null) {
    const { adapter, manifest } = await openAdapterAt(initAdapter, report);
    return { adapter, id: manifest?.id ?? null };
  }
  const known = await findCheckpoint(store, initAdapter).catch((error: unknown) => {
    if (error instanceof StudioError && error.code === 'RUN_NOT_FOUND') return null;
    throw error;
  });
  // Neither: the error for a missing path says what is wanted.
  if (known === null) {
    const { adapter, manifest } = await openAdapterAt(initAdapter, report);
    return { adapter, id: manifest?.id ?? null };
  }
  const { adapter, manifest } = await readAdapterFolder(known.files);
  if (manifest !== null) checkBase(manifest.base, model);
  report.note(
    `Warm start from ${known.run.name}/${known.record.name}: its weights alone, with a fresh optimizer.`,
  );
  return { adapter, id: known.record.id };
}

async function resumed(
  options: FinetuneOptions,
  path: string,
  store: CheckpointStore,
  report: Reporter,
): Promise<Start> {
  const found = await findCheckpoint(store, path);
  const { run, record, damaged } = found;
  if (damaged.length > 0) {
    report.note(
      `Damaged, and passed over: ${damaged.map(({ name }) => name).join(', ')}. Going on from ${record.name}.`,
    );
  }
  const paths = pathsOf(run, options);
  if (record.kind === 'hf-trainer') {
    const model = await openModelAt(paths.model, report);
    const data = prepareData(await readData(paths), model, preparationOf(options));
    const read = await readAdapterFolder(found.files);
    const hf = await readHfTrainer(found.files, read.adapter, { ordered: read.manifest !== null });
    for (const note of hf.notes) report.note(note);
    const batchSize = options.given.includes('batchSize') ? options.batchSize : hf.batchSize;
    const settings = { data: data.preparation, training: { ...trainingOf(options), batchSize } };
    const wanted = { name: options.schedule, warmupSteps: options.warmupSteps };
    const parts = { model, data };
    const resume = options.given.includes('schedule')
      ? restoredFromTrainer(read, hf, settings, parts, wanted)
      : restoredFromTrainer(read, hf, settings, parts);
    report.note(`${resumeLine(found, resume)} ${TRAINER_PROMISE}`);
    return {
      model,
      data,
      lora: { resume },
      training: resume.settings.training,
      paths,
      found,
      parentId: null,
    };
  }
  const resume = await restoreRun(found.files);
  checkGiven(options, resume);
  if (stepsLeft(resume) <= 0) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The run ${run.name} is complete: ${String(resume.state.step)} steps are done.`,
      fix: `Export it with \`lorikeet checkpoints export ${run.name}\`, or start a new run from its weights with --init-adapter ${run.name}/${record.name}.`,
    });
  }
  const model = await openModelAt(paths.model, report);
  checkBase(resume.manifest.base, model);
  const { name: _, ...preparation } = resume.settings.data;
  const data = prepareData(await readData(paths), model, preparation);
  return { model, data, lora: { resume }, training: resume.settings.training, paths, found, parentId: null };
}

/** What is gone on from, and how exact that is on this GPU. */
export function resumeNote(start: Start, gpu: string): string | null {
  if (start.found === null || !('resume' in start.lora) || start.found.record.kind === 'hf-trainer')
    return null;
  const { resume } = start.lora;
  return `${resumeLine(start.found, resume)} ${resumePromise(resume.manifest, gpu).text}`;
}

const resumeLine = ({ run, record }: FoundCheckpoint, { state }: RestoredRun): string =>
  `Resuming ${run.name} from ${record.name}: step ${String(state.step)} of ${String(state.scheduler.params.totalSteps)}.`;
