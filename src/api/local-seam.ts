/**
 * The backend of this machine, made by whoever has a GPU and a store: the package's entry sets the factory, so that the
 * clients themselves know neither engine nor host.
 */
import type { Backend } from './backend.ts';
import { UnsupportedFeatureError } from './own-errors.ts';
import type { WarningSink } from './warnings.ts';

export interface LocalBackendOptions {
  /** A GPUDevice that the caller has; else one is asked for. */
  device?: unknown;
  /** A store of checkpoints that the caller has; else the host's own. */
  store?: unknown;
  userMetadata: Readonly<Record<string, string>> | null;
  warnings: WarningSink;
}

export type LocalBackendFactory = (options: LocalBackendOptions) => Backend | Promise<Backend>;

let factory: LocalBackendFactory | null = null;

/** Sets what makes the backend of this machine; null takes it away. */
export function setLocalBackendFactory(made: LocalBackendFactory | null): void {
  factory = made;
}

/** Throws UnsupportedFeatureError where no local backend was set up. */
export async function makeLocalBackend(options: LocalBackendOptions): Promise<Backend> {
  if (factory !== null) return factory(options);
  throw new UnsupportedFeatureError({
    feature: 'backend: "local"',
    backend: 'This build',
    why: 'it has no engine of its own',
    fix: 'Import ServiceClient from the package lorikeet, or give a server: backend: { baseUrl }.',
  });
}
