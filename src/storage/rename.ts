/** Changing what a person says about a checkpoint. A name stands in checkpoint.json as well, which is then written anew. */
import { textEntry } from '../formats/file-entry.ts';
import { MANIFEST_FILE } from '../formats/manifest.ts';
import { decodeUtf8 } from '../formats/strict-json.ts';
import { changeRecords, GC_LOCK, withLock } from './backend.ts';
import { checkpointOf, nameTaken, runOf } from './commit-checks.ts';
import type { CommitContext } from './commit.ts';
import { renamedManifest } from './manifest-part.ts';
import { checkChanges, uniqueTags, type CheckpointChanges } from './new-checkpoint.ts';
import { expiry } from './prepare.ts';
import { chunksToWrite, putInBatches } from './put-chunks.ts';
import type { CheckpointRecord, PartRecord, StoreContents } from './records.ts';
import { stageParts } from './stage.ts';
import { storedCheckpoint } from './stored-files.ts';

function withChanges(current: CheckpointRecord, changes: CheckpointChanges, now: number): CheckpointRecord {
  const { tags, pinned, note, metadata, ttlSeconds } = changes;
  return {
    ...current,
    ...(tags === undefined ? {} : { tags: uniqueTags(tags) }),
    ...(pinned === undefined ? {} : { pinned }),
    ...(note === undefined ? {} : { note }),
    ...(metadata === undefined ? {} : { metadata: { ...metadata } }),
    ...(ttlSeconds === undefined ? {} : { ttlSeconds, expiresAt: expiry(now, ttlSeconds) }),
  };
}

function checkNameFree(contents: StoreContents, current: CheckpointRecord, name: string): void {
  const taken = contents.checkpoints.some(
    (other) => other.runId === current.runId && other.name === name && other.id !== current.id,
  );
  if (taken) throw nameTaken(name, runOf(contents, current.runId));
}

/** checkpoint.json under the new name, stored and read back, as the record of a part. */
async function renamedPart(
  context: CommitContext,
  current: CheckpointRecord,
  name: string,
): Promise<PartRecord | null> {
  const { backend, chunkBytes } = context;
  const files = storedCheckpoint(backend, current, new Map()).files();
  if (!files.names().includes(MANIFEST_FILE)) return null;
  const source = await files.open(MANIFEST_FILE);
  const text = decodeUtf8(await source.read(0, source.size), MANIFEST_FILE);
  const entry = textEntry(MANIFEST_FILE, renamedManifest(text, name));
  const staged = await stageParts([entry], { chunkBytes, newHash: () => backend.newHash() });
  await putInBatches(backend, await chunksToWrite(backend, staged.chunks.values()));
  return staged.parts[0] ?? null;
}

/** Changes name, tags, note, pin, metadata or expiry of a listed checkpoint. */
export async function updateCheckpoint(
  context: CommitContext,
  id: string,
  changes: CheckpointChanges,
): Promise<CheckpointRecord> {
  checkChanges(changes);
  const { backend } = context;
  const { name } = changes;
  let updated: CheckpointRecord | null = null;
  const apply = async (part: PartRecord | null): Promise<void> => {
    await changeRecords(backend, (contents) => {
      updated = withChanges(checkpointOf(contents, id), changes, context.now());
      if (name !== undefined) {
        checkNameFree(contents, updated, name);
        const parts = updated.parts.map((old) => (old.path === part?.path ? part : old));
        const size = parts.flatMap(({ chunks }) => chunks).reduce((sum, chunk) => sum + chunk.size, 0);
        updated = { ...updated, name, parts, size };
      }
      return { checkpoints: [updated] };
    });
  };
  if (name === undefined) {
    await apply(null);
  } else {
    await withLock(backend.locks, GC_LOCK, 'shared', async () => {
      const contents = await backend.contents();
      const current = checkpointOf(contents, id);
      checkNameFree(contents, current, name);
      await apply(current.name === name ? null : await renamedPart(context, current, name));
    });
  }
  return updated ?? checkpointOf(await backend.contents(), id);
}
