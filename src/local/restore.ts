/** A checkpoint that was moved to a cold store, back under its path, also while a model of the run is open. */
import type { ParsedCheckpointPath } from '../api/paths.ts';
import type { Checkpoint } from '../api/types.ts';
import { takeBack } from '../checkpoints/take-back.ts';
import { writerOf } from '../checkpoints/training-run.ts';
import { blobSource } from '../formats/bytes.ts';
import type { CheckpointStore, RunWriter } from '../storage/checkpoint-store.ts';
import { metadataTexts } from './capture.ts';
import { nameTexts, PUBLIC_TAG, storedName } from './kept.ts';
import { PROGRAM, type ModelKeeper } from './model-keeper.ts';

/** Seconds that are left of a row's time; null where it has no end. What ran out meanwhile goes at once. */
function secondsLeft({ expiresAt }: Checkpoint): number | null {
  return expiresAt === undefined ? null : Math.max(1, (Date.parse(expiresAt) - Date.now()) / 1000);
}

/**
 * Takes the archive in whole or not at all. The run is made again where it was removed; where a model of it is open, its
 * writer is lent. Throws CHECKPOINT_EXISTS for a path that is taken, STORE_LOCKED where another program writes the run,
 * and what reading and saving throw.
 */
export async function restoreFrom(
  { store, keeper }: { store: CheckpointStore; keeper: ModelKeeper | null },
  path: ParsedCheckpointPath,
  body: ReadableStream<Uint8Array>,
  row: Checkpoint,
): Promise<void> {
  const archive = blobSource(`${path.name}.tar.gz`, await new Response(body).blob());
  const { runId, checkpointType, name } = path;
  const add = async (writer: RunWriter): Promise<void> => {
    const stored = await storedName(store, runId, checkpointType, name);
    await takeBack(writer, archive, {
      name: stored,
      step: row.step ?? 0,
      trigger: PROGRAM,
      metrics: row.metrics ?? {},
      metadata: { ...metadataTexts(null, row.metadata ?? null), ...nameTexts(name, stored) },
      tags: [...(row.tags ?? []), ...(row.public ? [PUBLIC_TAG] : [])],
      pinned: row.pinned,
      ttlSeconds: secondsLeft(row),
      was: { sequence: row.sequence, createdAt: row.time },
    });
  };
  const addAlone = async (): Promise<void> => {
    const writer = await writerAgain(store, runId, row);
    try {
      await add(writer);
    } finally {
      await writer.release();
    }
  };
  await (keeper === null
    ? addAlone()
    : keeper.lend((writer) => (writer === null ? addAlone() : add(writer))));
}

async function writerAgain(store: CheckpointStore, runId: string, row: Checkpoint): Promise<RunWriter> {
  const there = (await store.runs()).some(({ id }) => id === runId);
  if (!there) {
    await store.createRun({
      id: runId,
      name: `api-${runId.slice(-8).toLowerCase()}`,
      baseId: row.baseModel ?? null,
      metadata: {},
      note: 'Brought back from a cold store.',
    });
  }
  return writerOf(store, runId);
}
