/** Loads what the page asks for, once: the model, then the data that its tokenizer reads. */
import { proxy } from 'comlink';
import { dataStore, wantedData } from '../stores/data-store.ts';
import { advanceLoad, beginLoad, failLoad, finishLoad, nothingLoaded, viewOf } from '../stores/loadable.ts';
import { modelStore, wantedModel } from '../stores/model-store.ts';
import { dataOptions, readNumbers, suggestedNumbers } from '../stores/settings.ts';
import { settingsStore } from '../stores/settings-store.ts';
import { callWorker } from './studio-client.ts';
import { readWireError } from './wire-error.ts';

const pending = new Map<string, Promise<void>>();

/** Runs a load for a key unless that very load is under way. */
function once(key: string, load: () => Promise<void>): Promise<void> {
  const running = pending.get(key);
  if (running !== undefined) return running;
  const promise = load().finally(() => pending.delete(key));
  pending.set(key, promise);
  return promise;
}

/** Loads the chosen model if it is not loaded yet; true when it is there. Failures go to the store. */
export async function ensureModel(): Promise<boolean> {
  const wanted = wantedModel(modelStore.getState());
  if (wanted === null) return false;
  const { key, choice } = wanted;
  const ready = (): boolean => viewOf(modelStore.getState().load, key).status === 'ready';
  if (ready()) return true;
  await once(`model ${key}`, async () => {
    modelStore.setState({ load: beginLoad(key) });
    // The worker lets go of the rows with the tokenizer that read them.
    dataStore.setState({ load: nothingLoaded() });
    const onProgress = proxy((progress: Parameters<typeof advanceLoad>[2]) => {
      modelStore.setState(({ load }) => ({ load: advanceLoad(load, key, progress) }));
    });
    try {
      const summary = await callWorker((api) => api.loadModel(choice, onProgress));
      modelStore.setState(({ load }) => ({ load: finishLoad(load, key, summary) }));
    } catch (thrown) {
      modelStore.setState(({ load }) => ({ load: failLoad(load, key, readWireError(thrown)) }));
    }
  });
  // Overtaken by another choice, and then chosen again before it had ended.
  const again =
    wantedModel(modelStore.getState())?.key === key &&
    viewOf(modelStore.getState().load, key).status === 'empty';
  return again ? ensureModel() : ready();
}

/** The data that the page asks for now; null while something is missing. */
export function wantedDataNow(): ReturnType<typeof wantedData> {
  const model = modelStore.getState();
  const { values } = readNumbers(settingsStore.getState().typed, suggestedNumbers(model.source));
  return wantedData(dataStore.getState(), wantedModel(model)?.key ?? null, dataOptions(values));
}

/** Reads the chosen data if it is not read yet; the model must be there. True when it can be trained on. */
export async function ensureData(): Promise<boolean> {
  const wanted = wantedDataNow();
  if (wanted === null) return false;
  const { key, choice, options } = wanted;
  const ready = (): boolean => viewOf(dataStore.getState().load, key).status === 'ready';
  if (ready()) return true;
  await once(`data ${key}`, async () => {
    dataStore.setState({ load: beginLoad(key) });
    try {
      const summary = await callWorker((api) => api.loadData(choice, options));
      dataStore.setState(({ load }) => ({ load: finishLoad(load, key, summary) }));
    } catch (thrown) {
      dataStore.setState(({ load }) => ({ load: failLoad(load, key, readWireError(thrown)) }));
    }
  });
  // As with the model above.
  const again = wantedDataNow()?.key === key && viewOf(dataStore.getState().load, key).status === 'empty';
  return again ? ensureData() : ready();
}
