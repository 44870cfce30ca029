/** Keeps the preview in step with the page: loads local models at once and reads the data anew when a choice changes. */
import { dataStore } from '../stores/data-store.ts';
import { viewOf } from '../stores/loadable.ts';
import { modelStore, wantedModel } from '../stores/model-store.ts';
import { runStore } from '../stores/run-store.ts';
import { isBusy } from '../stores/run-view.ts';
import { settingsStore } from '../stores/settings-store.ts';
import { ensureData, ensureModel, wantedDataNow } from './load.ts';

/** Long enough that a number being typed is not read digit by digit. */
const PAUSE_MS = 400;

/** Starts following; returns the function that ends it. */
export function followChoices(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void loadWanted(), PAUSE_MS);
  };
  const ends = [modelStore, dataStore, settingsStore].map((store) => store.subscribe(later));
  void loadWanted();
  return () => {
    clearTimeout(timer);
    ends.forEach((end) => end());
  };
}

async function loadWanted(): Promise<void> {
  if (isBusy(runStore.getState().state)) return;
  const model = modelStore.getState();
  const wanted = wantedModel(model);
  if (wanted === null) return;
  const { status } = viewOf(model.load, wanted.key);
  // A model of the Hub is fetched when asked for, not while its name is being typed.
  if (status === 'empty' && model.source === 'hub') return;
  if (status === 'failed' || !(await ensureModel())) return;
  const data = wantedDataNow();
  if (data !== null && viewOf(dataStore.getState().load, data.key).status === 'empty') await ensureData();
}
