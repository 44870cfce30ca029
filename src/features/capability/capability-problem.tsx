import { useStore } from 'zustand';
import { capabilityStore } from '../../stores/capability-store.ts';
import { ErrorNote } from '../../ui/error-note.tsx';

/** Why training cannot run here, if it cannot. */
export function CapabilityProblem() {
  const error = useStore(capabilityStore, (state) => state.capability?.error ?? null);
  return error === null ? null : <ErrorNote error={error} />;
}
