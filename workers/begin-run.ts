/** Where a run begins: anew, from a checkpoint with everything, or from a checkpoint's weights; and its place in the store. */
import { beginRun, continueRun, type OpenedRun } from '../src/checkpoints/training-run.ts';
import { totalSteps } from '../src/engine/index.ts';
import { readAdapterFolder } from '../src/formats/archive-read.ts';
import type { OpenModel } from '../src/run/open-model.ts';
import type { PreparedData } from '../src/run/prepare-data.ts';
import { checkBase, restoreRun, resumePromise } from '../src/run/restore.ts';
import type { RunRequest as StartRequest } from '../src/run/start-run.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import { keepRunFile } from '../src/storage/run-files.ts';
import type { DataChoice, ModelChoice, RunEvent, RunRequest } from './api.ts';
import { runSource } from './run-record.ts';

/** What the page chose, beside what was made of it. */
export interface Choices {
  model: ModelChoice;
  data: DataChoice;
}

export interface Beginning {
  lora: StartRequest['lora'];
  training: StartRequest['training'];
  opened: OpenedRun | null;
  /** The run was made for this, and goes if nothing comes of it. */
  isNew: boolean;
  /** For the page. */
  event: Extract<RunEvent, { type: 'run' }> | null;
}

const stem = (name: string): string => name.replace(/^.*\//, '').replace(/\.[^.]*$/, '');

async function freeRunName(store: CheckpointStore, model: string, data: string): Promise<string> {
  const taken = new Set((await store.runs()).map(({ name }) => name));
  const wanted = `${stem(model)}-${stem(data)}`.replace(/[^\w.-]+/g, '-').slice(0, 100);
  let name = wanted;
  for (let copy = 2; taken.has(name); copy++) name = `${wanted}-${String(copy)}`;
  return name;
}

/**
 * Reads the checkpoint that the request names, if any, and opens the run. `store` is null where nothing can be saved;
 * then a checkpoint cannot be gone on from either. Throws what reading and opening throw.
 */
export async function beginning(
  store: CheckpointStore | null,
  request: RunRequest,
  { model, data }: { model: OpenModel; data: PreparedData },
  choices: Choices,
  device: string,
): Promise<Beginning> {
  const { from, training, lora } = request;
  if (store === null) return { lora, training, opened: null, isNew: true, event: null };
  if (from?.how === 'resume') return resumed(store, request, from.checkpointId, device);
  let start: StartRequest['lora'] = lora;
  let note: string | null = null;
  if (from !== undefined) {
    const stored = await store.open(from.checkpointId);
    const read = await readAdapterFolder(stored.files());
    if (read.manifest !== null) checkBase(read.manifest.base, model);
    start = { adapter: { ...read.adapter, settings: { ...read.adapter.settings, dropout: lora.dropout } } };
    note = stored.record.name;
  }
  if (request.save === null) return { lora: start, training, opened: null, isNew: true, event: null };
  const steps = totalSteps(training, data.train.length);
  const { samplePrompt, sampleEvery } = request;
  const source = { steps, samplePrompt, sampleEvery };
  const opened = await beginRun(store, {
    name: await freeRunName(store, model.id, data.summary.name),
    baseId: model.id,
    settings: runSource(choices.model, model.id, model.revision, choices.data, source),
    metadata: note === null ? {} : { warmStart: note },
  });
  if (choices.data.kind === 'file') await keepRunFile(opened.run.id, choices.data.file);
  const { id, name } = opened.run;
  const warm =
    note === null ? null : { name: note, step: 0, note: 'Its weights alone: the optimizer starts afresh.' };
  const parentId = from?.checkpointId ?? null;
  const event = { type: 'run' as const, id, name, from: warm };
  return { lora: start, training, opened: { ...opened, parentId }, isNew: true, event };
}

async function resumed(
  store: CheckpointStore,
  request: RunRequest,
  checkpointId: string,
  device: string,
): Promise<Beginning> {
  const stored = await store.open(checkpointId);
  const restore = await restoreRun(stored.files());
  const record = await store.get(checkpointId);
  const opened = await continueRun(store, { run: await store.findRun(record.runId), record });
  const { text } = resumePromise(restore.manifest, device);
  const forked = opened.run.id === record.runId ? '' : ` It is a fork: ${opened.run.name}.`;
  return {
    lora: { resume: restore },
    training: restore.settings.training,
    opened: request.save === null ? null : opened,
    isNew: opened.run.id !== record.runId,
    event: {
      type: 'run',
      id: opened.run.id,
      name: opened.run.name,
      from: { name: record.name, step: restore.state.step, note: text + forked },
    },
  };
}
