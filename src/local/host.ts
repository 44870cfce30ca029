/** What a host gives the backend of this machine: a GPU, a store, models. Node and the browser's worker each bring theirs. */
import type { SupportedModel } from '../api/types.ts';
import type { WarningSink } from '../api/warnings.ts';
import type { DeviceInfo } from '../engine/index.ts';
import type { OpenModel } from '../run/open-model.ts';
import type { TuningMemory } from '../run/tune-base.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';

export interface LocalGpu {
  device: GPUDevice;
  info: DeviceInfo;
}

export interface LocalHost {
  /** The GPU, opened on first use. */
  gpu(): Promise<LocalGpu>;
  /** The store of checkpoints, opened on first use. */
  store(): Promise<CheckpointStore>;
  /** Models that can be named without a download. */
  models(): Promise<readonly SupportedModel[]>;
  /** Opens a model by the name that `baseModel` has. Throws by name for what is not there. */
  openModel(name: string): Promise<OpenModel>;
  /** Where the choice of kernels is kept; null tunes nothing. */
  tuning: TuningMemory | null;
  appVersion: string;
  /** Lets go what the host itself opened. */
  close(): Promise<void>;
}

/** What the parts of the backend share. */
export interface LocalShared {
  host: LocalHost;
  warnings: WarningSink;
  /** Counts upwards over all requests of this backend. */
  nextRequestId(): string;
}
