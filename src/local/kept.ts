/** The store as the interface sees it: paths to records, records to rows, and the writer of each run. */
import { CheckpointNotFoundError } from '../api/own-errors.ts';
import { formatPath, kindOf, type ParsedCheckpointPath } from '../api/paths.ts';
import type { Checkpoint, CheckpointType } from '../api/types.ts';
import type { CheckpointStore } from '../storage/checkpoint-store.ts';
import { isVerified } from '../storage/retention.ts';
import type { CheckpointRecord } from '../storage/records.ts';
import { API_NAME, userMetadataOf } from './capture.ts';

/** The tag of what was published. */
export const PUBLIC_TAG = 'public';

export const typeOf = ({ kind }: Pick<CheckpointRecord, 'kind'>): CheckpointType =>
  kind === 'sampler' ? 'sampler' : 'training';

/** A training and a sampler checkpoint may share a name here; in the store the later one has an ending. */
export const nameOf = (record: Pick<CheckpointRecord, 'name' | 'metadata'>): string =>
  record.metadata[API_NAME] ?? record.name;

export const nameTexts = (name: string, stored: string): Record<string, string> =>
  name === stored ? {} : { [API_NAME]: name };

const EVERYTHING = 1_000_000;

/** All checkpoints of a run that have not run out. */
export async function recordsOf(store: CheckpointStore, runId?: string): Promise<CheckpointRecord[]> {
  const { items } = await store.list({ ...(runId === undefined ? {} : { runId }), limit: EVERYTHING });
  const now = Date.now();
  return items.filter(({ expiresAt }) => expiresAt === null || Date.parse(expiresAt) > now);
}

/** The record of a path. `@latest` and `@best` are looked up. Throws CheckpointNotFoundError. */
export async function findRecord(
  store: CheckpointStore,
  path: ParsedCheckpointPath,
): Promise<CheckpointRecord> {
  const records = (await recordsOf(store, path.runId)).filter(
    (record) => typeOf(record) === path.checkpointType,
  );
  const bySequence = records.sort((a, b) => a.sequence - b.sequence);
  const sound = bySequence.filter(({ damage }) => damage === null);
  const found =
    path.alias === 'latest'
      ? sound.at(-1)
      : path.alias === 'best'
        ? bestOf(sound)
        : bySequence.findLast((record) => nameOf(record) === path.name);
  if (found !== undefined) return found;
  throw new CheckpointNotFoundError({ message: `There is no checkpoint ${path.path} in ${store.label}.` });
}

function bestOf(records: readonly CheckpointRecord[]): CheckpointRecord | undefined {
  const scored = records.filter(({ metrics }) => metrics['evalLoss'] !== undefined);
  return scored.reduce<CheckpointRecord | undefined>((best, record) => {
    const value = record.metrics['evalLoss'] ?? Infinity;
    return best === undefined || value < (best.metrics['evalLoss'] ?? Infinity) ? record : best;
  }, undefined);
}

/** A name that the store's run has free: the name itself, or with the kind behind it where the other kind has it. */
export async function storedName(
  store: CheckpointStore,
  runId: string,
  type: CheckpointType,
  name: string,
): Promise<string> {
  const { items } = await store.list({ runId, limit: EVERYTHING });
  const other = items.find((record) => record.name === name && typeOf(record) !== type);
  return other === undefined ? name : `${name.slice(0, 240)}.${kindOf(type)}`;
}

export const pathOf = (record: CheckpointRecord): string =>
  formatPath('lorikeet', record.runId, typeOf(record), nameOf(record));

/** A record as a row of the interface. */
export function rowOf(record: CheckpointRecord, parentPath?: string): Checkpoint {
  const type = typeOf(record);
  const path = pathOf(record);
  const metadata = userMetadataOf(record.metadata);
  return {
    checkpointId: `${kindOf(type)}/${nameOf(record)}`,
    checkpointType: type,
    time: record.createdAt,
    path,
    sizeBytes: record.size,
    public: record.tags.includes(PUBLIC_TAG),
    ...(record.expiresAt === null ? {} : { expiresAt: record.expiresAt }),
    ...(record.about === null ? {} : { baseModel: record.about.base.id }),
    name: path.replace('lorikeet://', ''),
    createTime: record.createdAt,
    updateTime: record.verifiedAt ?? record.createdAt,
    encoding: record.delta === null ? 'base' : 'delta',
    promotable: type === 'sampler' && record.damage === null,
    step: record.step,
    sequence: record.sequence,
    metrics: { ...record.metrics },
    ...(metadata === null ? {} : { metadata }),
    ...(parentPath === undefined ? {} : { parentPath }),
    tags: record.tags.filter((tag) => tag !== PUBLIC_TAG),
    pinned: record.pinned,
    ...(isVerified(record) && record.verifiedAt !== null ? { verifiedAt: record.verifiedAt } : {}),
    state: record.damage === null ? 'complete' : 'corrupt',
    storage: 'local',
  };
}
