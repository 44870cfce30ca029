/** The store's records as the rows that the page shows. */
import { serverObstacles } from '../src/checkpoints/server-fit.ts';
import { API_NAME, LOOP_STATE } from '../src/local/capture.ts';
import { PROGRAM } from '../src/local/model-keeper.ts';
import type { CheckpointRecord, RunRecord, StoreContents, Tombstone } from '../src/storage/records.ts';
import type { StoreSizes } from '../src/storage/list.ts';
import type { BinRow, CheckpointRow, RunRow } from './checkpoints-api.ts';
import { readRunSource } from './run-record.ts';

/** Names for what the rows refer to. */
export interface Names {
  runs: ReadonlyMap<string, RunRecord>;
  checkpoints: ReadonlyMap<string, CheckpointRecord>;
}

export function namesOf(runs: readonly RunRecord[], checkpoints: readonly CheckpointRecord[]): Names {
  return {
    runs: new Map(runs.map((run) => [run.id, run])),
    checkpoints: new Map(checkpoints.map((checkpoint) => [checkpoint.id, checkpoint])),
  };
}

const runName = (names: Names, runId: string): string => names.runs.get(runId)?.name ?? runId;

/** Texts that the programming interface alone reads. */
const PROGRAMS_OWN: readonly string[] = [LOOP_STATE, API_NAME];

export function checkpointRow(record: CheckpointRecord, names: Names): CheckpointRow {
  const { parentId, damage, verifiedAt, delta, about } = record;
  const parent = parentId === null ? undefined : names.checkpoints.get(parentId);
  const elsewhere = parent !== undefined && parent.runId !== record.runId;
  return {
    id: record.id,
    runId: record.runId,
    runName: runName(names, record.runId),
    name: record.name,
    step: record.step,
    kind: record.kind,
    trigger: record.trigger,
    createdAt: record.createdAt,
    size: record.size,
    metrics: record.metrics,
    metadata: Object.fromEntries(
      Object.entries(record.metadata).filter(([name]) => !PROGRAMS_OWN.includes(name)),
    ),
    tags: [...record.tags],
    pinned: record.pinned,
    note: record.note,
    verified: verifiedAt !== null && damage === null,
    damage: damage?.problem ?? null,
    expiresAt: record.expiresAt,
    parent:
      parent === undefined
        ? null
        : elsewhere
          ? `${runName(names, parent.runId)}/${parent.name}`
          : parent.name,
    deltaRatio: delta?.measuredRatio ?? null,
    baseId: about?.base.id ?? null,
    serverObstacles: serverObstacles(about?.lora),
  };
}

function modelName(run: RunRecord): string {
  const model = readRunSource(run.settings)?.model;
  if (model === undefined) return run.baseId ?? '';
  if (model.kind === 'embedded') return 'lorikeet-tiny';
  return model.kind === 'hub' ? model.id : model.label;
}

/** A run with its newest checkpoint that can be resumed; `busy` runs are being trained right now. */
export function runRow(
  run: RunRecord,
  checkpoints: readonly CheckpointRecord[],
  sizes: StoreSizes,
  busy: boolean,
  names: Names,
): RunRow {
  const source = readRunSource(run.settings);
  const whole = checkpoints
    .filter(
      ({ runId, kind, damage, trigger }) =>
        runId === run.id && kind === 'full' && damage === null && trigger !== PROGRAM,
    )
    .sort((a, b) => b.sequence - a.sequence);
  const newest = whole[0];
  const size = sizes.runs.get(run.id);
  return {
    id: run.id,
    name: run.name,
    createdAt: run.createdAt,
    model: modelName(run),
    data: source === null ? '' : source.data.kind === 'demo' ? source.data.id : source.data.name,
    steps: source?.steps ?? null,
    checkpoints: size?.checkpoints ?? 0,
    bytes: size?.bytes ?? 0,
    ownBytes: size?.ownBytes ?? 0,
    newest: newest === undefined ? null : checkpointRow(newest, names),
    interrupted: !busy && source !== null && newest !== undefined && newest.step < source.steps,
  };
}

export function binRow({ checkpoint, deletedAt, reason }: Tombstone, names: Names): BinRow {
  const { id, name, runId, size } = checkpoint;
  return { id, name, runName: runName(names, runId), deletedAt, reason, size };
}

/** What the store's start found, as sentences. */
export function startNotices(start: {
  swept: { unfinished: readonly unknown[] };
  damaged: readonly CheckpointRecord[];
  unreadable: StoreContents['unreadable'];
  lost: { newest: string | null } | null;
}): string[] {
  const { swept, damaged, unreadable, lost } = start;
  return [
    ...(lost === null
      ? []
      : [
          `The browser has thrown the stored checkpoints away${lost.newest === null ? '' : ` (the newest was ${lost.newest})`}. Export what matters, or allow the studio to keep its data.`,
        ]),
    ...(swept.unfinished.length > 0
      ? [
          'A save was cut off when the studio was last closed. Its remains were removed; earlier checkpoints are whole.',
        ]
      : []),
    ...damaged.map(
      ({ name }) => `${name} has lost some of its bytes. It is marked, and not offered for resuming.`,
    ),
    ...unreadable.map(({ what, problem }) => `${what} cannot be read: ${problem}.`),
  ];
}
