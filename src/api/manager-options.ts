/** What a CheckpointManager is told, and what it gives. */
import type { ColdStore } from './cold-store.ts';
import type { Tracker } from './tracker.ts';
import type { LoopState, Metadata } from './types.ts';

export interface ArchiveOptions {
  store: ColdStore;
  afterSteps?: number;
  afterSeconds?: number;
}

export interface ManagerOptions {
  /** Optimizer steps between saves; 0 is off, 20 unless said otherwise. */
  saveEvery?: number;
  /** The same, as trlX and Fireworks name it. */
  checkpointInterval?: number;
  dcpSaveInterval?: number;
  saveEveryTokens?: number;
  saveEverySeconds?: number;
  saveEveryEpochs?: number;
  /** One rolling state, renewed every so many steps. */
  rollingSaveEvery?: number;
  kind?: 'state' | 'sampler' | 'both';
  /** Periodic ones that stay; 5 unless said otherwise, null keeps all. */
  maxCheckpoints?: number | null;
  keepEvery?: number;
  saveBest?: { metric: string; mode: 'min' | 'max'; keep?: number };
  adaptive?: { minEvery: number; zThreshold?: number };
  /** Periodic saves go on in the background; `finalize` waits for them. */
  asyncPeriodicSaves?: boolean;
  periodicTtlSeconds?: number | null;
  rollingTtlSeconds?: number | null;
  /**
   * What the rules let go is moved there instead of deleted. With `afterSteps` or `afterSeconds`, so is what they keep and
   * is that old; the newest state, pinned and public ones stay.
   */
  archiveTo?: ArchiveOptions;
  /** The final save becomes a model of this name. */
  outputModelId?: string;
  loopState?: () => LoopState;
  metadata?: (step: number) => Metadata;
  trackers?: readonly Tracker[];
  /** Milliseconds; for tests. */
  now?: () => number;
}

export interface Progress {
  metrics?: Readonly<Record<string, number>>;
  /** Tokens trained on so far. */
  tokens?: number;
  epoch?: number;
}

export interface ManagedCheckpoint {
  name: string;
  step: number;
  path: string;
  metadata: Metadata | null;
  loopState: LoopState | null;
  metrics: Record<string, number>;
  samplerPath: string | null;
  /** The model that the final save became, where `outputModelId` asks for one. */
  modelId?: string;
}
