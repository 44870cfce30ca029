/**
 * Keeps sampling from overwriting a model in training. SkyRL's JAX backend has one slot for each model: sampling from a
 * checkpoint loads it there, over the weights being trained, and a name that was loaded once is not loaded again. So a
 * snapshot of a model that is in training here is sampled only while the model still has those very weights.
 */
import { UnsupportedFeatureError } from '../own-errors.ts';

export interface SnapshotGuard {
  /** A model is in training from now on, in this program. */
  track(runId: string): void;
  forget(runId: string): void;
  /** Whether the model is in training here. */
  tracks(runId: string): boolean;
  /** A snapshot was taken of the weights as they are. */
  saved(runId: string, snapshot: string): void;
  /** A snapshot without a name is known by its session once the save is done. */
  rename(from: string, to: string): void;
  /** Settles when no sample of the run is on its way; then its weights count as changed. */
  beforeChange(runId: string): Promise<void>;
  /** Runs a sample. Throws UnsupportedFeatureError where it would overwrite the weights, or answer with others. */
  during<T>(snapshot: string, runId: string | null, work: () => Promise<T>): Promise<T>;
}

interface Live {
  version: number;
  sampling: Set<Promise<unknown>>;
}

export function createSnapshotGuard(): SnapshotGuard {
  const live = new Map<string, Live>();
  const snapshots = new Map<string, { runId: string; version: number }>();
  return {
    track: (runId) => {
      live.set(runId, { version: 0, sampling: new Set() });
    },
    forget: (runId) => {
      live.delete(runId);
      for (const [snapshot, of] of snapshots) if (of.runId === runId) snapshots.delete(snapshot);
    },
    tracks: (runId) => live.has(runId),
    saved: (runId, snapshot) => {
      const model = live.get(runId);
      if (model !== undefined) snapshots.set(snapshot, { runId, version: model.version });
    },
    rename: (from, to) => {
      const known = snapshots.get(from);
      snapshots.delete(from);
      if (known !== undefined) snapshots.set(to, known);
    },
    beforeChange: async (runId) => {
      const model = live.get(runId);
      if (model === undefined) return;
      while (model.sampling.size > 0) await Promise.allSettled(model.sampling);
      model.version += 1;
    },
    during: async (snapshot, runId, work) => {
      const known = snapshots.get(snapshot);
      const model = live.get(known?.runId ?? runId ?? '');
      if (model === undefined) return work();
      if (known === undefined || known.version !== model.version) {
        throw new UnsupportedFeatureError({
          feature: 'sampling from an older snapshot of a model in training',
          backend: 'SkyRL',
          why: `it would load ${snapshot} over the weights being trained`,
          fix: 'Save for the sampler again and sample before the next step, or dispose of the training client first.',
        });
      }
      const running = work();
      model.sampling.add(running);
      try {
        return await running;
      } finally {
        model.sampling.delete(running);
      }
    },
  };
}
