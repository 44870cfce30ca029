/** Runs of the embedded model over a store in a temporary folder, for the tests of this folder. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoraRequest } from '../run/start-run.ts';
import type { CheckpointStore, StoreOptions } from '../storage/checkpoint-store.ts';
import { openFolderBackend } from '../storage/folder-backend.ts';
import { openCheckpointStore } from '../storage/open-store.ts';
import { storeDecoders } from './encodings.ts';

export { HARD_TRAINING } from './testing-settings.ts';

export const DROPPING_LORA: LoraRequest = {
  rank: 4,
  alpha: 8,
  dropout: 0.1,
  rslora: false,
  targets: ['q_proj', 'down_proj'],
};

/** A store in a folder of its own. */
export async function temporaryStore(
  options: StoreOptions = {},
): Promise<{ store: CheckpointStore; folder: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'lorikeet-checkpoints-'));
  const decoders = storeDecoders((id) => store.open(id));
  const store: CheckpointStore = await openCheckpointStore(await openFolderBackend(folder), {
    decoders,
    ...options,
  });
  const remove = async (): Promise<void> => {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { store, folder, remove };
}
