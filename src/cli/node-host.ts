/** This machine in Node for the local backend: Dawn's GPU, a store in a folder, models by folder, Hub id or the embedded one. */
import { version } from '../../package.json';
import { createWarningSink, type WarningSink } from '../api/warnings.ts';
import { createLocalBackend, type LocalBackend } from '../local/local-backend.ts';
import type { LocalGpu, LocalHost } from '../local/host.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { cacheFolder } from './cache-folder.ts';
import { openGpu, type HeldGpu } from './gpu.ts';
import { openStore } from './keeping.ts';
import { tuningFiles } from './load-model.ts';
import type { Reporter } from './progress.ts';
import { openModelAt, TINY, TINY_ID } from './sources.ts';

export interface NodeHostOptions {
  /** Part of the name of a GPU, or `auto`; or a device that the caller has. */
  device: string | LocalGpu;
  /** Folder of the store; or a store that the caller has. */
  store: string | CheckpointStore;
  report: Reporter;
}

/** Opens nothing before it is asked for. */
export function createNodeHost({ device, store, report }: NodeHostOptions): LocalHost {
  let gpu: Promise<HeldGpu> | null = null;
  let kept: Promise<CheckpointStore> | null = null;
  const again =
    <T>(forget: () => void) =>
    (error: unknown): T => {
      forget();
      throw error;
    };
  return {
    gpu: () => {
      if (typeof device === 'object') return Promise.resolve(device);
      if (gpu !== null) return gpu;
      const opening = openGpu(device, report).catch(again<HeldGpu>(() => (gpu = null)));
      gpu = opening;
      // One that is lost is of no use to anybody: the next who asks gets another.
      const forget = async (): Promise<void> => {
        await (
          await opening
        ).device.lost;
        if (gpu === opening) gpu = null;
      };
      forget().catch(() => undefined);
      return opening;
    },
    store: () => {
      if (typeof store === 'object') return Promise.resolve(store);
      kept ??= openStore(store, true, (text) => {
        report.note(text);
      }).catch(again<CheckpointStore>(() => (kept = null)));
      return kept;
    },
    models: async () => {
      const { config } = await openModelAt(TINY, report);
      return [{ modelName: TINY_ID, maxContextLength: config.maxPositions }];
    },
    openModel: (name) => openModelAt(name === TINY_ID ? TINY : name, report),
    tuning: tuningFiles(cacheFolder('tuning')),
    appVersion: version,
    close: async () => {
      if (kept !== null) await (await kept).close();
      if (gpu !== null) (await gpu).close();
    },
  };
}

export interface NodeBackendOptions extends NodeHostOptions {
  warnings?: WarningSink;
}

/** The backend of this machine for a command. */
export function createNodeBackend({
  warnings = createWarningSink(),
  ...host
}: NodeBackendOptions): LocalBackend {
  return createLocalBackend({ host: createNodeHost(host), userMetadata: null, warnings });
}
