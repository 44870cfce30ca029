/** Reading back: whether every chunk of a checkpoint still is what was written. */
import { StudioError } from '../errors.ts';
import { DELTA_ENCODING } from '../formats/delta.ts';
import type { Chunk } from '../formats/streams.ts';
import { changeRecords, type StoreBackend } from './backend.ts';
import { isStoreFull } from './full.ts';
import type { CheckpointRecord, ChunkRef } from './records.ts';
import { digestHex, throwIfCancelled } from './stage.ts';

export interface VerifyOptions {
  signal?: AbortSignal | undefined;
  onBytes?: ((bytes: number) => void) | undefined;
}

/** A chunk that is what its hash says, or what is wrong with it. */
export async function readGoodChunk(
  backend: StoreBackend,
  ref: ChunkRef,
): Promise<{ bytes: Chunk } | { problem: string }> {
  const bytes = await backend.readChunk(ref.sha256);
  if (bytes === null) return { problem: 'is missing' };
  if (bytes.byteLength !== ref.size) {
    return { problem: `has ${String(bytes.byteLength)} bytes instead of ${String(ref.size)}` };
  }
  return (await digestHex(bytes)) === ref.sha256
    ? { bytes }
    : { problem: 'has other content than was written' };
}

/** What is wrong with the stored bytes of a checkpoint, in words; null when nothing is. */
export async function findDamage(
  backend: StoreBackend,
  checkpoint: Pick<CheckpointRecord, 'parts'>,
  options: VerifyOptions = {},
): Promise<string | null> {
  const good = new Set<string>();
  for (const part of checkpoint.parts) {
    for (const [i, ref] of part.chunks.entries()) {
      throwIfCancelled(options.signal, 'Verifying');
      if (good.has(ref.sha256)) continue;
      const found = await readGoodChunk(backend, ref);
      if ('problem' in found) {
        return `piece ${String(i + 1)} of ${String(part.chunks.length)} of ${part.path} ${found.problem}`;
      }
      good.add(ref.sha256);
      options.onBytes?.(ref.size);
    }
  }
  return null;
}

/** What the differences of a checkpoint are to: those files of its base, or null for a base that is not there. */
function baseOf(
  { delta, parts }: CheckpointRecord,
  checkpoints: readonly CheckpointRecord[],
): { name: string; parts: CheckpointRecord['parts'] | null } | null {
  if (delta === null) return null;
  const base = checkpoints.find(({ id }) => id === delta.baseId);
  if (base === undefined) return { name: delta.baseId, parts: null };
  const differing = parts.filter(({ encoding }) => encoding === DELTA_ENCODING).map(({ path }) => path);
  return { name: base.name, parts: base.parts.filter(({ path }) => differing.includes(path)) };
}

/** What is wrong with the files of the base that a checkpoint is put together from; null when nothing is. */
async function findBaseDamage(
  backend: StoreBackend,
  checkpoint: CheckpointRecord,
  options: VerifyOptions,
): Promise<string | null> {
  if (checkpoint.delta === null) return null;
  const base = baseOf(checkpoint, (await backend.contents()).checkpoints);
  if (base === null) return null;
  if (base.parts === null) return `its base ${base.name} is missing`;
  const problem = await findDamage(backend, { parts: base.parts }, options);
  return problem === null ? null : `in its base ${base.name}, ${problem}`;
}

export function damagedError(checkpoint: Pick<CheckpointRecord, 'name'>, problem: string): StudioError {
  return new StudioError({
    code: 'CHECKPOINT_DAMAGED',
    message: `The checkpoint ${checkpoint.name} is damaged: ${problem}.`,
    fix: 'Go on from an earlier checkpoint, or import this one again from an export.',
  });
}

function marked(checkpoint: CheckpointRecord, problem: string | null, now: string): CheckpointRecord {
  return problem === null
    ? { ...checkpoint, verifiedAt: now, damage: null }
    : { ...checkpoint, verifiedAt: null, damage: { foundAt: now, problem } };
}

/** Writes down what a verification found; gives the record as it is now, or null when it is gone. */
export async function noteVerification(
  backend: StoreBackend,
  id: string,
  problem: string | null,
  now: string,
): Promise<CheckpointRecord | null> {
  let noted: CheckpointRecord | null = null;
  await changeRecords(backend, ({ checkpoints }) => {
    const current = checkpoints.find((checkpoint) => checkpoint.id === id);
    if (current === undefined) return null;
    noted = marked(current, problem, now);
    return { checkpoints: [noted] };
  });
  return noted;
}

/**
 * Re-hashes a checkpoint and marks it by what was found; null when it was deleted meanwhile. Where the mark cannot be
 * written (the disk is full), the answer holds all the same.
 */
export async function verifyCheckpoint(
  backend: StoreBackend,
  checkpoint: CheckpointRecord,
  now: () => number,
  options: VerifyOptions = {},
): Promise<CheckpointRecord | null> {
  const problem =
    (await findDamage(backend, checkpoint, options)) ?? (await findBaseDamage(backend, checkpoint, options));
  const foundAt = new Date(now()).toISOString();
  try {
    return await noteVerification(backend, checkpoint.id, problem, foundAt);
  } catch (error) {
    if (isStoreFull(error)) return marked(checkpoint, problem, foundAt);
    throw error;
  }
}

function missingIn(
  parts: CheckpointRecord['parts'],
  stored: ReadonlyMap<string, number | null>,
): string | null {
  for (const part of parts) {
    for (const { sha256, size } of part.chunks) {
      const found = stored.get(sha256);
      if (found === undefined) return `a piece of ${part.path} is missing`;
      if (found !== null && found !== size) {
        return `a piece of ${part.path} has ${String(found)} bytes instead of ${String(size)}`;
      }
    }
  }
  return null;
}

/** The chunks that a checkpoint needs and that are not there at all: quick, and found at every start. */
export function missingChunks(
  checkpoint: CheckpointRecord,
  checkpoints: readonly CheckpointRecord[],
  stored: ReadonlyMap<string, number | null>,
): string | null {
  const own = missingIn(checkpoint.parts, stored);
  const base = own === null ? baseOf(checkpoint, checkpoints) : null;
  if (base === null) return own;
  if (base.parts === null) return `its base ${base.name} is missing`;
  const problem = missingIn(base.parts, stored);
  return problem === null ? null : `in its base ${base.name}, ${problem}`;
}

/**
 * The order in which checkpoints are tried for going on: the newest, then its ancestors, then the others from the
 * newest on. Damaged ones are left out, so the first that passes its hashes is the one to offer.
 */
export function resumeOrder(checkpoints: readonly CheckpointRecord[]): CheckpointRecord[] {
  const newestFirst = [...checkpoints].sort((a, b) => b.sequence - a.sequence);
  const byId = new Map(newestFirst.map((checkpoint) => [checkpoint.id, checkpoint]));
  const order = new Set<CheckpointRecord>();
  for (const start of newestFirst) {
    let next: CheckpointRecord | undefined = start;
    while (next !== undefined && !order.has(next)) {
      order.add(next);
      next = next.parentId === null ? undefined : byId.get(next.parentId);
    }
  }
  return [...order].filter(({ damage }) => damage === null);
}
