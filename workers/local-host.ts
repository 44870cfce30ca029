/** This browser for the local backend: its GPU, the store in IndexedDB, the embedded model and those of the Hub. */
import { version } from '../package.json';
import { storeDecoders } from '../src/checkpoints/encodings.ts';
import { StudioError } from '../src/errors.ts';
import { isHubId } from '../src/hub/hub-model.ts';
import type { LocalHost } from '../src/local/host.ts';
import { openModel } from '../src/run/open-model.ts';
import type { CheckpointStore } from '../src/storage/checkpoint-store.ts';
import { openIndexedDbBackend } from '../src/storage/indexeddb-backend.ts';
import { openCheckpointStore } from '../src/storage/open-store.ts';
import { EngineGpu } from './gpu.ts';
import { EMBEDDED, openModelFiles } from './model-files.ts';
import { tuningCache } from './tuning-cache.ts';

export interface BrowserHostOptions {
  /** A device that the caller has. */
  gpu?: EngineGpu;
  /** A store that the caller has open. */
  store?: () => Promise<CheckpointStore>;
  /** Below it lies `models/lorikeet-tiny/`; default one folder above the worker. */
  home?: URL;
}

async function openOwnStore(): Promise<CheckpointStore> {
  const decoders = storeDecoders((id) => store.open(id));
  const store: CheckpointStore = await openCheckpointStore(await openIndexedDbBackend({}), { decoders });
  return store;
}

const NAMES: readonly string[] = ['tiny', EMBEDDED.id];

/** Opens nothing before it is asked for; what the caller brought stays open when it is closed. */
export function createBrowserHost(options: BrowserHostOptions = {}): LocalHost {
  const gpu = options.gpu ?? new EngineGpu(() => undefined);
  let own: Promise<CheckpointStore> | null = null;
  const openFiles = (name: string): ReturnType<typeof openModelFiles> => {
    const { signal } = new AbortController();
    if (NAMES.includes(name))
      return openModelFiles({ kind: 'embedded' }, () => undefined, signal, options.home);
    if (isHubId(name)) return openModelFiles({ kind: 'hub', id: name }, () => undefined, signal);
    throw new StudioError({
      code: 'FILE_NOT_FOUND',
      message: `There is no model ${name}.`,
      fix: `Use ${EMBEDDED.id}, or a Hub id such as owner/name.`,
    });
  };
  return {
    gpu: () => gpu.open(),
    store: () => {
      if (options.store !== undefined) return options.store();
      own ??= openOwnStore().catch((error: unknown) => {
        own = null;
        throw error;
      });
      return own;
    },
    models: () => Promise.resolve([{ modelName: EMBEDDED.id, maxContextLength: 512 }]),
    openModel: async (name) => {
      const { files, id, revision } = await openFiles(name);
      return openModel(files, id, new Date(), revision);
    },
    tuning: tuningCache,
    appVersion: version,
    close: async () => {
      if (own !== null) await (await own).close();
      if (options.gpu === undefined) await gpu.dispose();
    },
  };
}
