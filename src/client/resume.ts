/** Going on with a run: loads the model and the data that it was trained with, takes over its settings, and starts. */
import { proxy } from 'comlink';
import type { Progress } from '../../workers/api.ts';
import type { CheckpointRow, ResumePlan } from '../../workers/checkpoints-api.ts';
import { dataStore, OWN_FILE, pickDataFile } from '../stores/data-store.ts';
import { DOING } from '../stores/kept-notes.ts';
import { keptStore } from '../stores/kept-store.ts';
import { modelStore } from '../stores/model-store.ts';
import { settingsOf } from '../stores/settings.ts';
import { settingsStore } from '../stores/settings-store.ts';
import { doKept } from './checkpoints.ts';
import { ensureData, ensureModel } from './load.ts';
import { requestNow, startTraining } from './run.ts';
import { callWorker } from './studio-client.ts';
import { readWireError } from './wire-error.ts';

/** Resumes a run from a checkpoint; what a person has to pick first is said. */
export async function resumeCheckpoint(row: Pick<CheckpointRow, 'id'>): Promise<void> {
  keptStore.setState({ error: null, done: null, resume: null });
  try {
    const plan = await callWorker((api) => api.resumePlan(row.id));
    takeOver(plan);
    const missing = missingPart(plan);
    keptStore.setState({ resume: { plan, missing } });
    if (missing !== null) return;
    await startTraining({ checkpointId: plan.checkpoint.id, how: 'resume' });
  } catch (thrown) {
    keptStore.setState({ error: readWireError(thrown) });
  }
}

/** Puts the run's model, data and settings where the person would. */
function takeOver(plan: ResumePlan): void {
  const { model, data, dataOptions } = plan;
  settingsStore.setState(settingsOf(plan));
  if (model.kind === 'hub') {
    modelStore.setState({
      source: 'hub',
      hubId: model.id + (model.revision === null ? '' : `@${model.revision}`),
    });
  } else modelStore.setState({ source: model.kind });
  const { trainOn, chat } = dataOptions;
  dataStore.setState({ trainOn, chat });
  if (data.kind === 'demo') dataStore.setState({ selected: data.id });
  else if (data.file !== null) pickDataFile(data.file);
  else dataStore.setState({ selected: OWN_FILE });
}

function missingPart({ model, data }: ResumePlan): 'model' | 'data' | null {
  if (model.kind === 'files' && modelStore.getState().files.length === 0) return 'model';
  const file = dataStore.getState().file;
  if (data.kind === 'file' && data.file === null && file?.name !== data.name) return 'data';
  return null;
}

/** Starts a new run from a checkpoint's weights, with the settings on the page. */
export const warmStart = (row: Pick<CheckpointRow, 'id'>): Promise<void> =>
  startTraining({ checkpointId: row.id, how: 'warm-start' });

/** Trains a few steps twice, once with a stop in the middle, and compares all bits. */
export async function proveResume(): Promise<void> {
  keptStore.setState({ proof: null });
  if (!(await ensureModel()) || !(await ensureData())) return;
  const request = requestNow();
  if (request === null) return;
  await doKept(
    DOING.proving(),
    (onProgress: (progress: Progress) => void) =>
      callWorker((api) => api.proveResume(request, proxy(onProgress))),
    (proof) => ({ proof }),
  );
}
