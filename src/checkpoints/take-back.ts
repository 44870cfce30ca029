/** A checkpoint that was moved out of the store whole, back to its place in its run. */
import type { ByteSource } from '../formats/bytes.ts';
import type { RunWriter } from '../storage/checkpoint-store.ts';
import type { NewCheckpoint } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord } from '../storage/records.ts';
import { encodeParts } from './encodings.ts';
import { checkImport } from './import-checkpoint.ts';
import { openImport } from './import-files.ts';

/** What the archive does not say of it. */
export type PlaceTaken = Pick<NewCheckpoint, 'name' | 'step' | 'trigger'> &
  Required<Pick<NewCheckpoint, 'metrics' | 'metadata' | 'tags' | 'pinned'>> &
  Pick<NewCheckpoint, 'was' | 'ttlSeconds'>;

/**
 * Checks the archive as an import is checked, and saves it in one commit: all of it is there then, or nothing. Throws
 * CHECKPOINT_EXISTS where the name is taken, and what reading and saving throw.
 */
export async function takeBack(
  writer: RunWriter,
  archive: ByteSource,
  place: PlaceTaken,
): Promise<CheckpointRecord> {
  const files = await openImport(archive);
  try {
    const { input } = await checkImport(files, archive.name, {});
    const { parts } = await encodeParts(input.parts, null);
    return (await writer.save({ ...input, ...place, parts })).checkpoint;
  } finally {
    await files.close();
  }
}
