/** What a manager does to the store: sees that a save is there, moves, deletes and promotes; and checks its settings. */
import { BadRequestError } from './errors.ts';
import type { ArchiveOptions, ManagedCheckpoint, ManagerOptions } from './manager-options.ts';
import type { ManagedUnit } from './manager-policy.ts';
import { CheckpointCorruptError, CheckpointNotFoundError, UnsupportedFeatureError } from './own-errors.ts';
import { requireOutputModelId } from './output-model-id.ts';
import { parseCheckpointPath } from './paths.ts';
import { promoteCheckpoint } from './promote.ts';
import type { TrainingClient } from './training-client.ts';

/** The number. Throws BadRequestError where it is no whole one from `from`. */
export function whole(name: string, value: number, from: number): number {
  if (Number.isSafeInteger(value) && value >= from) return value;
  throw new BadRequestError({
    message: `${name} is ${String(value)}; it must be a whole number from ${String(from)}.`,
  });
}

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

/** The figures as metadata, which is JSON and has no NaN: one that is none must not fail a save. */
export function finiteMetrics(metrics: Readonly<Record<string, number>>): {
  metrics?: Record<string, number>;
} {
  const finite = Object.entries(metrics).filter(([, value]) => Number.isFinite(value));
  return finite.length === 0 ? {} : { metrics: Object.fromEntries(finite) };
}

/** Moves to the cold store; a failure is a warning, and the checkpoint stays where it is. */
export async function archiveUnits({ host }: TrainingClient, units: readonly ManagedUnit[]): Promise<void> {
  for (const row of units.flatMap(({ rows }) => rows)) {
    try {
      await host.cold.move(row);
    } catch (error) {
      const message = `${row.path} could not be moved to the cold store: ${(error as Error).message}`;
      host.warnings.once({ code: 'RETENTION_FAILED', message }, row.path);
    }
  }
}

/** Throws, before anything is saved, where the final save could not become the model that is asked for. */
export function checkPromotion({ outputModelId, kind = 'both' }: ManagerOptions): void {
  if (outputModelId === undefined) return;
  requireOutputModelId(outputModelId);
  if (kind !== 'state') return;
  throw new BadRequestError({
    message: 'outputModelId makes a model of sampler weights, and kind is "state".',
    fix: 'Use kind: "both".',
  });
}

/** Makes the model of the final save. */
export async function promoteFinal(
  client: TrainingClient,
  { outputModelId }: ManagerOptions,
  saved: ManagedCheckpoint,
): Promise<ManagedCheckpoint> {
  if (outputModelId === undefined || saved.samplerPath === null) return saved;
  const { host, baseModel } = client;
  const promotion = { name: saved.samplerPath, outputModelId, baseModel };
  return { ...saved, ...(await promoteCheckpoint(host, [promotion], '')) };
}

/** Whether a unit is old enough for the cold store, at a step and a time. */
export function oldEnough(o: ArchiveOptions, step: number, now: number): (unit: ManagedUnit) => boolean {
  const { afterSteps, afterSeconds } = o;
  for (const [name, value] of Object.entries({ afterSteps, afterSeconds })) {
    if (value === undefined || (Number.isFinite(value) && value >= 0)) continue;
    throw new BadRequestError({ message: `archiveTo.${name} is ${String(value)}; it must be at least 0.` });
  }
  return ({ step: saved, rows }) => {
    const time = Date.parse(rows[0]?.createTime ?? '');
    return (
      (afterSteps !== undefined && step - saved >= afterSteps) ||
      (afterSeconds !== undefined && now - time >= afterSeconds * 1000)
    );
  };
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
