/** Where `lorikeet finetune` begins: a new run, the weights of an adapter, or a kept checkpoint with everything. */
import { existsSync } from 'node:fs';
import { readHfTrainer } from '../formats/hf-trainer.ts';
import { readAdapterFolder, type AdapterRead } from '../formats/archive-read.ts';
import type { Adapter } from '../formats/adapter.ts';
import { StudioError } from '../errors.ts';
import { restoredFromTrainer, TRAINER_PROMISE } from '../checkpoints/resume-trainer.ts';
import { findCheckpoint, type FoundCheckpoint } from '../checkpoints/training-run.ts';
import type { OpenModel } from '../run/open-model.ts';
import { prepareData, type PreparedData } from '../run/prepare-data.ts';
import {
  checkBase,
  restoreRun,
  resumePromise,
  stepsLeft,
  type RestoredRun,
  type ResumePromise,
} from '../run/restore.ts';
import type { RunRequest } from '../run/start-run.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import type { FinetuneOptions } from './options.ts';
import type { Reporter } from './progress.ts';
import { pathsOf, savingOf, type RunPaths, type Saving } from './run-source.ts';
import { openAdapterAt, openModelAt, readDataFile } from './sources.ts';
import { checkGiven, checkNoName, preparationOf, trainingOf } from './training-config.ts';

export interface Start {
  model: OpenModel;
  data: PreparedData;
  lora: RunRequest['lora'];
  training: RunRequest['training'];
  paths: RunPaths;
  saving: Saving;
  /** The checkpoint that the run goes on from; null for a new run. */
  found: FoundCheckpoint | null;
  /** The checkpoint whose weights alone a new run starts from. */
  parentId: string | null;
}

/** Reads the data file, and that for evaluation where there is one. */
export async function readData(
  paths: Pick<RunPaths, 'data' | 'evalData'>,
): Promise<Parameters<typeof prepareData>[0]> {
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
  return { model, data, lora, training: trainingOf(options), paths, saving: options, found: null, parentId };
}

/** The adapter that `--init-adapter` names: a path, or a checkpoint of the store. */
async function warmStart(
  { initAdapter }: FinetuneOptions,
  store: CheckpointStore | null,
  model: OpenModel,
  report: Reporter,
): Promise<{ adapter: Adapter; id: string | null } | null> {
  if (initAdapter === undefined) return null;
  const known =
    existsSync(initAdapter) || store === null ? null : await keptAdapter(initAdapter, store, model, report);
  // Where it is neither, the error for a missing path says what is wanted.
  const { adapter, manifest } = known ?? (await openAdapterAt(initAdapter, report));
  report.note(`Warm start from ${initAdapter}: its weights alone, with a fresh optimizer.`);
  return { adapter, id: manifest?.id ?? known?.id ?? null };
}

/** The adapter of `RUN` or `RUN/NAME`; null where the store has no such run. */
async function keptAdapter(
  path: string,
  store: CheckpointStore,
  model: OpenModel,
  report: Reporter,
): Promise<(Pick<AdapterRead, 'adapter' | 'manifest'> & { id: string }) | null> {
  const known = await findCheckpoint(store, path).catch((error: unknown) => {
    if (error instanceof StudioError && error.code === 'RUN_NOT_FOUND') return null;
    throw error;
  });
  if (known === null) return null;
  if (!path.includes('/')) noteDamaged(report, known, await damagedAfter(store, known));
  const { adapter, manifest } = await readAdapterFolder(known.files);
  if (manifest !== null) checkBase(manifest.base, model);
  return { adapter, manifest, id: known.record.id };
}

/** The checkpoints of the run that are newer and damaged, whenever that was found out. */
async function damagedAfter(store: CheckpointStore, { run, record }: FoundCheckpoint): Promise<string[]> {
  const { items } = await store.list({ runId: run.id, damaged: true, limit: 1e6 });
  return items.filter(({ sequence }) => sequence > record.sequence).map(({ name }) => name);
}

function noteDamaged(report: Reporter, { record }: FoundCheckpoint, damaged: readonly string[]): void {
  if (damaged.length === 0) return;
  report.note(`Damaged, and passed over: ${damaged.join(', ')}. Going on from ${record.name}.`);
}

async function resumed(
  options: FinetuneOptions,
  path: string,
  store: CheckpointStore,
  report: Reporter,
): Promise<Start> {
  const found = await findCheckpoint(store, path);
  const { run, record } = found;
  checkNoName(options, run.name);
  if (!path.includes('/')) noteDamaged(report, found, await damagedAfter(store, found));
  const paths = pathsOf(run, options);
  const common = { paths, saving: savingOf(run, options), found, parentId: null };
  if (record.kind === 'hf-trainer')
    return { ...(await fromTrainer(options, found, paths, report)), ...common };
  const resume = await restoreRun(found.files);
  if (stepsLeft(resume) <= 0) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The run ${run.name} is complete: ${String(resume.state.step)} steps are done.`,
      fix: `Export it with \`lorikeet checkpoints export ${run.name} --out PATH\`, or start a new run from its weights with --init-adapter ${run.name}/${record.name}.`,
    });
  }
  const model = await openModelAt(paths.model, report);
  checkBase(resume.manifest.base, model);
  checkGiven(options, resume, model);
  const { name: _, ...preparation } = resume.settings.data;
  const data = prepareData(await readData(paths), model, preparation);
  return { model, data, lora: { resume }, training: resume.settings.training, ...common };
}

/** A HuggingFace Trainer's checkpoint with what the options say besides. */
async function fromTrainer(
  options: FinetuneOptions,
  found: FoundCheckpoint,
  paths: RunPaths,
  report: Reporter,
): Promise<Pick<Start, 'model' | 'data' | 'lora' | 'training'>> {
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
  // What the checkpoint itself says has gone before the options: one that says otherwise is not passed over.
  checkGiven(options, resume, model);
  report.note(`${resumeLine(found, resume)} ${TRAINER_PROMISE}`);
  return { model, data, lora: { resume }, training: resume.settings.training };
}

/** How exact going on is on this GPU; null for a new run, and for a Trainer's, of which that was said. */
export function promiseOf(start: Start, gpu: string): ResumePromise | null {
  if (start.found === null || !('resume' in start.lora) || start.found.record.kind === 'hf-trainer')
    return null;
  const { resume } = start.lora;
  const promise = resumePromise(resume.manifest, gpu);
  return { ...promise, text: `${resumeLine(start.found, resume)} ${promise.text}` };
}

const resumeLine = ({ run, record }: FoundCheckpoint, { state }: RestoredRun): string =>
  `Resuming ${run.name} from ${record.name}: step ${String(state.step)} of ${String(state.scheduler.params.totalSteps)}.`;
