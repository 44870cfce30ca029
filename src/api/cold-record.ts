/** What lies beside an archive in a cold store and makes it count; read back as strictly as any byte from outside. */
import { z } from 'zod';
import { kindOf, parseCheckpointPath, type ParsedCheckpointPath } from './paths.ts';
import type { Checkpoint } from './types.ts';

const text = z.string().max(100_000);
const time = text.refine((value) => Number.isFinite(Date.parse(value)));
const count = z.number().int().nonnegative();

const rowSchema = z.object({
  checkpointId: text,
  checkpointType: z.enum(['training', 'sampler']),
  time,
  path: text,
  sizeBytes: count.optional(),
  public: z.boolean(),
  expiresAt: time.optional(),
  baseModel: text.optional(),
  userMetadata: z.record(text, text).optional(),
  name: text,
  createTime: time,
  updateTime: time,
  encoding: z.enum(['base', 'delta', 'merged_base']),
  promotable: z.boolean(),
  rawCheckpointType: text.optional(),
  rawPath: text.optional(),
  step: count.optional(),
  sequence: z.number(),
  epoch: z.number().optional(),
  metrics: z.record(text, z.number()).optional(),
  metadata: z.record(text, z.json()).optional(),
  parentPath: text.optional(),
  tags: z.array(text).optional(),
  pinned: z.boolean(),
  digest: text.optional(),
  verifiedAt: time.optional(),
  state: z.enum(['complete', 'pending', 'corrupt']),
  storage: z.enum(['local', 'remote', 'cold']),
});

const recordSchema = z.object({
  version: z.literal(1),
  row: rowSchema,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  sizeBytes: count,
});

export interface ColdRecord {
  version: 1;
  row: Checkpoint;
  sha256: string;
  sizeBytes: number;
}

export const MAX_RECORD_BYTES = 2 ** 20;

export const folderOf = (runId: string): string => `${encodeURIComponent(runId)}/`;
const keyOf = ({ runId, checkpointType, name }: ParsedCheckpointPath): string =>
  `${folderOf(runId)}${kindOf(checkpointType)}/${name}`;
export const archiveKey = (path: ParsedCheckpointPath): string => `${keyOf(path)}.archive`;
export const recordKey = (path: ParsedCheckpointPath): string => `${keyOf(path)}.json`;

/** The record of a key; null for what is none, or was not written under that key. */
export function parseColdRecord(key: string, bytes: Uint8Array): ColdRecord | null {
  try {
    const { data } = recordSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
    if (data === undefined || recordKey(parseCheckpointPath(data.row.path)) !== key) return null;
    // Members that are not there are left out of rows, not undefined: JSON cannot hold the difference.
    return data as ColdRecord;
  } catch {
    return null;
  }
}

/** Whether its time is over: it is listed no more, and not brought back. */
export const hasRunOut = ({ row }: ColdRecord, now = Date.now()): boolean =>
  row.expiresAt !== undefined && Date.parse(row.expiresAt) <= now;
