/** Ephemeral snapshots of weights, held in memory from the save until no sampler uses them. */
import { NotFoundError } from '../api/errors.ts';
import type { Adapter } from '../formats/adapter.ts';

export interface Snapshot {
  adapter: Adapter;
  baseModel: string;
  snapshotName: string;
}

export interface Snapshots {
  add(snapshot: Snapshot): string;
  /** Throws NotFoundError for one that is gone. */
  get(samplerId: string): Snapshot;
  drop(samplerId: string): void;
}

/** The oldest go first: a program that saves without ever sampling must not fill the memory. */
const MOST = 64;

export function createSnapshots(): Snapshots {
  const held = new Map<string, Snapshot>();
  let count = 0;
  return {
    add: (snapshot) => {
      const samplerId = `snapshot-${String(++count)}`;
      held.set(samplerId, snapshot);
      for (const oldest of held.keys()) {
        if (held.size <= MOST) break;
        held.delete(oldest);
      }
      return samplerId;
    },
    get: (samplerId) => {
      const found = held.get(samplerId);
      if (found !== undefined) return found;
      throw new NotFoundError({
        message: `The snapshot ${samplerId} is gone.`,
        fix: 'Save the weights for sampling again.',
      });
    },
    drop: (samplerId) => {
      held.delete(samplerId);
    },
  };
}
