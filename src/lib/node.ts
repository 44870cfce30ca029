/**
 * The package `lorikeet` in Node: the clients of src/api, with this machine's GPU (Dawn) as the local backend.
 * @example
 * import { ServiceClient } from 'lorikeet';
 * const client = await new ServiceClient().createLoraTrainingClient('tiny', { rank: 8 });
 */
import { setLocalBackendFactory, type LocalBackendOptions } from '../api/local-seam.ts';
import { createNodeHost } from '../cli/node-host.ts';
import { createReporter } from '../cli/progress.ts';
import { describeAdapter } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { LocalGpu } from '../local/host.ts';
import { createLocalBackend } from '../local/local-backend.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';

export * from './exports.ts';
export { folderColdStore } from '../cli/cold-folder.ts';

const DEFAULT_STORE = 'lorikeet-runs';

function deviceOf(device: unknown): string | LocalGpu {
  if (device === undefined) return process.env['LORIKEET_DEVICE'] ?? 'auto';
  if (typeof device === 'string') return device;
  if (typeof device === 'object' && device !== null && 'createBuffer' in device) {
    const given = device as GPUDevice;
    const { adapterInfo: info, limits, features } = given;
    return { device: given, info: describeAdapter({ info, limits, features }) };
  }
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `The option device is a ${typeof device}.`,
    fix: 'Give a GPUDevice, or a part of the name of a GPU.',
  });
}

function storeOf(store: unknown): string | CheckpointStore {
  if (store === undefined) return process.env['LORIKEET_STORE'] ?? DEFAULT_STORE;
  if (typeof store === 'string') return store;
  if (typeof store === 'object' && store !== null && 'openRun' in store) return store as CheckpointStore;
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `The option store is a ${typeof store}.`,
    fix: 'Give the path of a folder, or an open store.',
  });
}

setLocalBackendFactory(({ device, store, userMetadata, warnings }: LocalBackendOptions) =>
  createLocalBackend({
    host: createNodeHost({
      device: deviceOf(device),
      store: storeOf(store),
      report: createReporter({ quiet: true }),
    }),
    userMetadata,
    warnings,
  }),
);
