/** A checkpoint in memory, whole and hashed, before anything of it is written. */
import type { RunningHash, StoredChunk } from './backend.ts';
import { manifestPart } from './manifest-part.ts';
import { uniqueTags, type NewCheckpoint } from './new-checkpoint.ts';
import { RECORD_VERSION, type CheckpointRecord } from './records.ts';
import { stageParts } from './stage.ts';

export interface PrepareOptions {
  runId: string;
  id: string;
  /** Milliseconds since 1970. */
  now: number;
  chunkBytes: number;
  newHash: () => RunningHash;
  signal?: AbortSignal | undefined;
  /** Told once nothing more is asked of the input's parts. */
  onCopied: () => void;
}

/** When a checkpoint made to last so long ends, from now on. */
export function expiry(now: number, ttlSeconds: number | null): string | null {
  return ttlSeconds === null ? null : new Date(now + ttlSeconds * 1000).toISOString();
}

export interface Prepared {
  /** Complete but for its place in the run, which the commit gives it. */
  record: CheckpointRecord;
  chunks: Map<string, StoredChunk>;
}

/** Stages the parts, writes checkpoint.json for them, and makes the record. */
export async function prepareCheckpoint(input: NewCheckpoint, options: PrepareOptions): Promise<Prepared> {
  const { id, runId, now } = options;
  const { parts, chunks } = await stageParts(input.parts, options);
  const createdAt = new Date(input.was?.createdAt ?? now).toISOString();
  const manifest = manifestPart(input, { id, runId, createdAt }, parts);
  if (manifest !== null) {
    const first = await stageParts([manifest.part], { ...options, onCopied: undefined });
    for (const [sha256, chunk] of first.chunks) chunks.set(sha256, chunk);
    parts.unshift(...first.parts);
  }
  const ttlSeconds = input.ttlSeconds ?? null;
  const record: CheckpointRecord = {
    version: RECORD_VERSION,
    id,
    runId,
    sequence: 0,
    name: input.name,
    kind: input.kind,
    trigger: input.trigger,
    step: input.step,
    createdAt,
    parentId: input.parentId ?? null,
    replaces: null,
    about: manifest?.about ?? null,
    origin: manifest?.origin ?? null,
    metrics: { ...input.metrics },
    metadata: { ...input.metadata },
    tags: uniqueTags(input.tags ?? []),
    pinned: input.pinned ?? false,
    note: input.note ?? '',
    ttlSeconds,
    expiresAt: expiry(now, ttlSeconds),
    delta: input.delta ?? null,
    parts,
    size: parts.flatMap((part) => part.chunks).reduce((sum, chunk) => sum + chunk.size, 0),
    verifiedAt: null,
    damage: null,
  };
  return { record, chunks };
}
