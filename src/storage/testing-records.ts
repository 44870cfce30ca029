/** Records for the tests that need no store. */
import { RECORD_VERSION, type CheckpointRecord } from './records.ts';

/** A verified checkpoint of the run `a`; its id is its sequence number. */
export function testRecord(sequence: number, changes: Partial<CheckpointRecord> = {}): CheckpointRecord {
  return {
    version: RECORD_VERSION,
    id: `id-${String(sequence)}`,
    runId: 'a',
    sequence,
    name: `step-${String(sequence)}`,
    kind: 'full',
    trigger: 'steps',
    step: sequence * 10,
    createdAt: new Date(sequence * 1000).toISOString(),
    parentId: null,
    replaces: null,
    about: null,
    origin: null,
    metrics: {},
    metadata: {},
    tags: [],
    pinned: false,
    note: '',
    ttlSeconds: null,
    expiresAt: null,
    delta: null,
    parts: [],
    size: 0,
    verifiedAt: new Date(sequence * 1000).toISOString(),
    damage: null,
    ...changes,
  };
}

/** One part with these chunks, each of 100 bytes. */
export function testParts(...chunks: string[]): CheckpointRecord['parts'] {
  const refs = chunks.map((sha256) => ({ sha256, size: 100 }));
  return [{ path: 'w', size: 100 * chunks.length, sha256: '', encoding: 'raw', chunks: refs }];
}
