/**
 * What the store keeps beside the bytes: runs, checkpoints, what is being written, what lies in the bin. The same
 * records in every home; the bytes themselves are chunks, each under the SHA-256 of what is stored.
 */
import { z } from 'zod';
import { manifestSchema } from '../formats/manifest.ts';

/** Version of the homes' layout: object stores, folders. */
export const STORE_SCHEMA = 1;
/** Version of the records below. A newer one is left alone and named, never read half and never deleted. */
export const RECORD_VERSION = 1;
/** Browsers have limits on a single value that are far larger; all of them take this much. */
export const MAX_CHUNK_BYTES = 8 * 2 ** 20;

const version = z.literal(RECORD_VERSION);
const id = z.string().regex(/^[0-9A-Za-z_-]{1,64}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().nonnegative();
/** ISO 8601, UTC. */
const time = z.string();
const texts = z.record(z.string(), z.string());

const chunkSchema = z.object({ sha256, size: count });
const partSchema = z.object({
  /** As in an archive, such as `state/optimizer.safetensors`. */
  path: z.string(),
  /** Bytes and hash of the content, whatever form it is stored in. */
  size: count,
  sha256,
  /** `raw`, or the name of what decodes the stored bytes. */
  encoding: z.string(),
  chunks: z.array(chunkSchema),
});

export const runSchema = z.object({
  version,
  id,
  /** For people; need not be unique. */
  name: z.string(),
  createdAt: time,
  updatedAt: time,
  /** Set when the run was deleted: it goes once the bin has nothing of it left. */
  removedAt: time.nullable(),
  /** The highest sequence number given to a checkpoint; never goes back. */
  lastSequence: count,
  /** The base model's id. */
  baseId: z.string().nullable(),
  /** The options that the run was started with, for showing and for going on. */
  settings: z.record(z.string(), z.json()),
  metadata: texts,
  note: z.string(),
});

export const checkpointSchema = z.object({
  version,
  id,
  runId: id,
  /** Order of saving within the run; clocks may go back, this does not. */
  sequence: count,
  /** Unique within the run. */
  name: z.string(),
  kind: manifestSchema.shape.kind,
  /** Why it was saved: `steps`, `minutes`, `best`, `latest`, `pause`, `hidden`, `manual`, `final`, `import`, ... */
  trigger: z.string(),
  step: count,
  createdAt: time,
  parentId: z.string().nullable(),
  /** The checkpoint of the same name that this one took the place of. */
  replaces: z.string().nullable(),
  /** The short members of checkpoint.json; null for an adapter that came without one. */
  about: manifestSchema
    .pick({ base: true, lora: true, optimizer: true, determinism: true, appVersion: true })
    .nullable(),
  /** What an imported checkpoint was called where it comes from. */
  origin: z.object({ id: z.string(), runId: z.string(), name: z.string() }).nullable(),
  metrics: z.record(z.string(), z.number()),
  metadata: texts,
  tags: z.array(z.string()),
  pinned: z.boolean(),
  note: z.string(),
  ttlSeconds: z.number().positive().nullable(),
  expiresAt: time.nullable(),
  /** Present when some parts are stored as their difference to another checkpoint. */
  delta: z
    .object({ baseId: id, baseSha256: sha256, resultSha256: sha256, measuredRatio: z.number() })
    .nullable(),
  /** checkpoint.json first, where there is one, the others by path. */
  parts: z.array(partSchema),
  /** Bytes of all parts as they are stored. */
  size: count,
  /** When every chunk was last read back and found to be what was written. */
  verifiedAt: time.nullable(),
  damage: z.object({ foundAt: time, problem: z.string() }).nullable(),
});

export const tombstoneSchema = z.object({
  version,
  id,
  deletedAt: time,
  reason: z.enum(['asked', 'retention', 'replaced']),
  checkpoint: checkpointSchema,
});

export const journalSchema = z.object({
  version,
  /** That of the checkpoint to be. */
  id,
  runId: id,
  name: z.string(),
  startedAt: time,
  chunks: z.array(chunkSchema),
});

export const metaSchema = z.object({
  /** Made with the store: another one under the same address is another store. */
  dbId: id,
  schema: count,
  createdAt: time,
});

export type ChunkRef = z.infer<typeof chunkSchema>;
export type PartRecord = z.infer<typeof partSchema>;
export type RunRecord = z.infer<typeof runSchema>;
export type CheckpointRecord = z.infer<typeof checkpointSchema>;
export type Tombstone = z.infer<typeof tombstoneSchema>;
export type Journal = z.infer<typeof journalSchema>;
export type StoreMeta = z.infer<typeof metaSchema>;
export type DeltaInfo = NonNullable<CheckpointRecord['delta']>;
export type CheckpointAbout = NonNullable<CheckpointRecord['about']>;

/** Everything but the chunks, as it was at one moment. */
export interface StoreContents {
  runs: RunRecord[];
  /** What is listed: committed and not in the bin. */
  checkpoints: CheckpointRecord[];
  tombstones: Tombstone[];
  journals: Journal[];
  /** Records that this version cannot read. They keep the sweep from running, since they may need any chunk. */
  unreadable: { what: string; problem: string }[];
}

/** The chunks of these checkpoints, each once. */
export function chunksOf(checkpoints: Iterable<CheckpointRecord>): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { parts } of checkpoints) {
    for (const { chunks } of parts) for (const chunk of chunks) sizes.set(chunk.sha256, chunk.size);
  }
  return sizes;
}

/** Bytes of the chunks that these checkpoints have and the others do not: what deleting them would free. */
export function bytesOnlyIn(
  checkpoints: Iterable<CheckpointRecord>,
  others: Iterable<CheckpointRecord>,
): number {
  const shared = chunksOf(others);
  let bytes = 0;
  for (const [sha, size] of chunksOf(checkpoints)) if (!shared.has(sha)) bytes += size;
  return bytes;
}
