/** What a manager does to the store: sees that a save is there, and deletes. */
import type { ManagedUnit } from './manager-policy.ts';
import { CheckpointCorruptError, CheckpointNotFoundError, UnsupportedFeatureError } from './own-errors.ts';
import { parseCheckpointPath } from './paths.ts';
import type { TrainingClient } from './training-client.ts';

/** Throws where a save is not listed as whole: then nothing older may go. */
export async function verifyListed(client: TrainingClient, paths: readonly string[]): Promise<void> {
  const rows = await client.host.backend.registry.listCheckpoints(client.runId);
  for (const path of paths) {
    const row = rows.find((r) => r.path === path);
    if (row === undefined) {
      throw new CheckpointNotFoundError({
        message: `${path} was saved and is not listed; nothing was deleted.`,
      });
    }
    if (row.state === 'corrupt') {
      const message = `${path} was saved and is damaged; nothing was deleted.`;
      throw new CheckpointCorruptError({ message, path, files: [] });
    }
  }
}

/** Deletes; a failure is a warning, as training must not end by it. */
export async function removeUnits({ host }: TrainingClient, units: readonly ManagedUnit[]): Promise<void> {
  for (const { path } of units.flatMap(({ rows }) => rows)) {
    try {
      await host.backend.registry.deleteCheckpoint(parseCheckpointPath(path));
    } catch (error) {
      const message = `${path} could not be deleted: ${(error as Error).message}`;
      // Once for a server that cannot delete at all.
      host.warnings.once(
        { code: 'RETENTION_FAILED', message },
        error instanceof UnsupportedFeatureError ? '' : path,
      );
    }
  }
}
