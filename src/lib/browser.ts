/**
 * The package `lorikeet` in a page or a worker: the clients of src/api, with the browser's GPU and IndexedDB as the local
 * backend. The embedded model is fetched from `models/lorikeet-tiny/` below the page, or below `setAssetsUrl`.
 */
import { createBrowserHost } from '../../workers/local-host.ts';
import { setLocalBackendFactory, type LocalBackendOptions } from '../api/local-seam.ts';
import { StudioError } from '../errors.ts';
import { createLocalBackend } from '../local/local-backend.ts';

export * from './exports.ts';

let assets: URL | null = null;

/** Sets the address below which `models/lorikeet-tiny/` lies. */
export function setAssetsUrl(url: string | URL): void {
  assets = new URL(url, globalThis.location.href);
}

setLocalBackendFactory(({ device, store, userMetadata, warnings }: LocalBackendOptions) => {
  if (device !== undefined || store !== undefined) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: 'In a browser the options device and store cannot be given.',
      fix: 'Leave them out: the browser has one GPU and one store for each site.',
    });
  }
  const home = assets ?? new URL('.', globalThis.location.href);
  return createLocalBackend({ host: createBrowserHost({ home }), userMetadata, warnings });
});
