/** Starts and steers a run; the store mirrors what the worker says. */
import { proxy } from 'comlink';
import type { RunEvent, RunRequest } from '../../workers/api.ts';
import { dataStore } from '../stores/data-store.ts';
import { exportStore } from '../stores/export-store.ts';
import { viewOf } from '../stores/loadable.ts';
import { modelStore } from '../stores/model-store.ts';
import { runStore } from '../stores/run-store.ts';
import { applyEvent, isBusy, NO_RUN } from '../stores/run-view.ts';
import { readNumbers, suggestedNumbers, toRunRequest } from '../stores/settings.ts';
import { settingsStore } from '../stores/settings-store.ts';
import { refreshKept } from './checkpoints.ts';
import { ensureData, ensureModel, wantedDataNow } from './load.ts';
import { callWorker } from './studio-client.ts';
import { readWireError } from './wire-error.ts';

function apply(event: RunEvent): void {
  runStore.setState((run) => applyEvent(run, event));
  const changesList = event.type === 'saved' || event.type === 'run' || event.type === 'state';
  if (changesList) void refreshKept();
}

/**
 * One press does the whole job: loads what is not loaded yet, then trains to the end. From a checkpoint it goes on with
 * everything, or with its weights alone.
 */
export async function startTraining(from?: RunRequest['from']): Promise<void> {
  if (isBusy(runStore.getState().state)) return;
  runStore.setState({ ...NO_RUN, state: 'preparing' });
  exportStore.setState({ saved: null, error: null });
  try {
    const request = (await ensureModel()) && (await ensureData()) ? requestNow() : null;
    // The reason stands beside the model or the data already.
    if (request === null) runStore.setState(NO_RUN);
    else {
      const whole = from === undefined ? request : { ...request, from };
      await callWorker((api) => api.start(whole, proxy(apply)));
    }
  } catch (thrown) {
    apply({ type: 'error', error: readWireError(thrown) });
  }
}

/** What the page asks for now; null while the data is not ready. */
export function requestNow(): ReturnType<typeof toRunRequest> | null {
  const key = wantedDataNow()?.key ?? null;
  const data = viewOf(dataStore.getState().load, key);
  if (data.status !== 'ready') return null;
  const settings = settingsStore.getState();
  const { values } = readNumbers(settings.typed, suggestedNumbers(modelStore.getState().source));
  return toRunRequest(settings, values, data.value);
}

async function steer(action: 'pause' | 'resume' | 'stop'): Promise<void> {
  try {
    await callWorker((api) => api[action]());
  } catch (thrown) {
    apply({ type: 'error', error: readWireError(thrown) });
  }
}

/** Holds the run; the step under way is finished first. */
export async function pauseTraining(): Promise<void> {
  runStore.setState({ pausing: true });
  await steer('pause');
  runStore.setState({ pausing: false });
}

export const resumeTraining = (): Promise<void> => steer('resume');
export const stopTraining = (): Promise<void> => steer('stop');

/** Answers with the trained adapter (scale 1) or the base model (scale 0). Throws an `Error` as comlink does. */
export function askModel(prompt: string, adapterScale: number, maxTokens: number): Promise<string> {
  return callWorker((api) => api.answer(prompt, adapterScale, maxTokens));
}
