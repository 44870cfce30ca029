/** Asks the worker what this browser can do. */
import { capabilityStore } from '../stores/capability-store.ts';
import { callWorker } from './studio-client.ts';
import { readWireError } from './wire-error.ts';

export async function probeCapability(): Promise<void> {
  try {
    capabilityStore.setState({ capability: await callWorker((api) => api.capability()) });
  } catch (thrown) {
    capabilityStore.setState({ capability: { gpu: null, error: readWireError(thrown) } });
  }
}
