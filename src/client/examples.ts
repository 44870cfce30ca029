/** Starts and stops the example programs in the worker; the store mirrors what they tell. */
import { proxy } from 'comlink';
import type { ExampleKind } from '../../workers/examples-api.ts';
import { changeExample, examplesStore, NOTHING, tellExample } from '../stores/examples-store.ts';
import { refreshKept } from './checkpoints.ts';
import { callWorker } from './studio-client.ts';
import { readWireError } from './wire-error.ts';

const SEED = 0;

/** Runs an example to its end. What goes wrong stands in its view. */
export async function startExample(kind: ExampleKind): Promise<void> {
  if (examplesStore.getState().running !== null) return;
  examplesStore.setState({ running: kind, stopping: false });
  changeExample(kind, () => NOTHING);
  try {
    const tell = proxy((event: Parameters<typeof tellExample>[1]) => {
      tellExample(kind, event);
    });
    const outcome = await callWorker((api) => api.runExample(kind, SEED, tell));
    changeExample(kind, (view) => ({ ...view, outcome }));
    await refreshKept();
  } catch (thrown) {
    const error = readWireError(thrown);
    changeExample(kind, (view) => ({
      ...view,
      error: error.code === 'CANCELLED' ? null : error,
      stage: null,
    }));
  } finally {
    examplesStore.setState({ running: null, stopping: false });
  }
}

/** Ends it after the step under way. */
export async function stopExample(): Promise<void> {
  examplesStore.setState({ stopping: true });
  await callWorker((api) => api.stopExample());
}
