/** Checkpoints as lines for people, and as plain objects for scripts. */
import type { Comparison } from '../../checkpoints/compare.ts';
import type { CheckpointRecord } from '../../storage/records.ts';
import { bytes, columns, count } from '../words.ts';
import type { ServerRow } from './server.ts';

/** A record without what only the store needs. */
export function plain(record: CheckpointRecord) {
  const { id, runId, sequence, name, kind, trigger, step, createdAt, parentId, metrics, metadata } = record;
  const { tags, pinned, note, expiresAt, size, verifiedAt, damage, delta, about, parts } = record;
  return {
    id,
    runId,
    sequence,
    name,
    kind,
    trigger,
    step,
    createdAt,
    parentId,
    metrics,
    metadata,
    tags,
    pinned,
    note,
    expiresAt,
    size,
    verifiedAt,
    damage: damage?.problem ?? null,
    deltaRatio: delta?.measuredRatio ?? null,
    base: about?.base.id ?? null,
    files: parts.map((part) => ({ path: part.path, size: part.size, sha256: part.sha256 })),
  };
}

export type PlainCheckpoint = ReturnType<typeof plain>;

function marks({ damage, pinned, kind, deltaRatio, tags, expiresAt }: PlainCheckpoint): string {
  return [
    ...(damage === null ? [] : ['damaged']),
    ...(pinned ? ['pinned'] : []),
    ...(kind === 'full' ? [] : [kind]),
    ...(deltaRatio === null ? [] : [`delta ${deltaRatio.toFixed(2)}x`]),
    ...(expiresAt === null ? [] : [`until ${expiresAt.slice(0, 16)}`]),
    ...tags,
  ].join(', ');
}

export function checkpointTable(found: {
  items: readonly PlainCheckpoint[];
  total: number;
  nextOffset: number | null;
  runs: readonly { id: string; name: string; checkpoints?: number; bytes?: number }[];
  totalBytes: number;
  binBytes: number;
  server?: readonly ServerRow[];
}): string {
  const runs = new Map(found.runs.map(({ id, name }) => [id, name]));
  const figure = (value: number | undefined): string => (value === undefined ? '' : value.toPrecision(4));
  const rows = found.items.map((item) => [
    `${runs.get(item.runId) ?? item.runId}/${item.name}`,
    String(item.step),
    figure(item.metrics['loss']),
    figure(item.metrics['evalLoss']),
    bytes(item.size),
    item.createdAt.slice(0, 16).replace('T', ' '),
    marks(item),
  ]);
  const head = ['CHECKPOINT', 'STEP', 'LOSS', 'EVAL', 'SIZE', 'SAVED (UTC)', ''];
  const more =
    found.nextOffset === null
      ? ''
      : `... ${count(found.total)} in all; go on with --offset ${String(found.nextOffset)}\n`;
  const sizes = found.runs.map(
    ({ name, checkpoints = 0, bytes: size = 0 }) =>
      `${name}: ${count(checkpoints)} checkpoints, ${bytes(size)}\n`,
  );
  const all = `All: ${bytes(found.totalBytes)}${found.binBytes > 0 ? `, of which the bin ${bytes(found.binBytes)}` : ''}\n`;
  return `${rows.length === 0 ? 'No checkpoint matches.\n' : columns([head, ...rows])}${more}\n${sizes.join('')}${all}${serverTable(found.server)}`;
}

function serverTable(rows: readonly ServerRow[] | undefined): string {
  if (rows === undefined) return '';
  if (rows.length === 0) return '\nThe server has no checkpoints.\n';
  const lines = rows.map(({ path, step, size, createdAt, kind }) => [
    path,
    step === null ? '' : String(step),
    size === null ? '' : bytes(size),
    createdAt.slice(0, 16).replace('T', ' '),
    kind === 'full' ? 'stays on the server' : 'can be imported',
  ]);
  return `\n${columns([['ON THE SERVER', 'STEP', 'SIZE', 'SAVED (UTC)', ''], ...lines])}`;
}

export function detailRows(
  shown: PlainCheckpoint & {
    path: string;
    ancestors: readonly string[];
    children: readonly string[];
    missingParentId: string | null;
    serverObstacles: readonly string[];
  },
): [string, string][] {
  const metrics = Object.entries(shown.metrics).map(([name, value]) => `${name} ${value.toPrecision(5)}`);
  const metadata = Object.entries(shown.metadata).map(([name, value]) => `${name}=${value}`);
  const from = [
    ...shown.ancestors,
    ...(shown.missingParentId === null ? [] : [`${shown.missingParentId} (gone)`]),
  ];
  return [
    ['Checkpoint', shown.path],
    ['Id', shown.id],
    ['Kind', `${shown.kind}, saved because of: ${shown.trigger}`],
    ['Step', count(shown.step)],
    ['Saved', shown.createdAt],
    ['Base model', shown.base ?? 'not said'],
    [
      'On a server',
      shown.serverObstacles.length === 0
        ? 'a server of the Tinker protocol trains with such settings'
        : `a server of the Tinker protocol cannot train with its settings: ${shown.serverObstacles.join('; ')}`,
    ],
    ['Figures', metrics.join(', ') || 'none'],
    ['Size', bytes(shown.size)],
    [
      'Bytes',
      shown.damage ?? (shown.verifiedAt === null ? 'not verified yet' : `verified ${shown.verifiedAt}`),
    ],
    ['Marks', marks(shown) || 'none'],
    ['Note', shown.note || 'none'],
    ['Metadata', metadata.join(', ') || 'none'],
    ['Went on from', from.join(' <- ') || 'nothing'],
    ['Went on to', shown.children.join(', ') || 'nothing'],
    ...shown.files.map(({ path, size }): [string, string] => [`  ${path}`, bytes(size)]),
  ];
}

export function binTable(bin: {
  emptied: boolean;
  bytes: number;
  items: readonly { path: string; id: string; deletedAt: string; reason: string; size: number }[];
}): string {
  if (bin.items.length === 0) return 'The bin is empty.\n';
  const rows = bin.items.map(({ path, deletedAt, reason, size }) => [
    path,
    deletedAt.slice(0, 16).replace('T', ' '),
    reason,
    bytes(size),
  ]);
  const end = bin.emptied
    ? `Emptied; ${bytes(bin.bytes)} are free again.\n`
    : `${bytes(bin.bytes)} would be freed by --empty.\n`;
  return columns([['CHECKPOINT', 'DELETED (UTC)', 'WHY', 'SIZE'], ...rows]) + end;
}

export function comparisonText({
  a,
  b,
  metrics,
  settings,
  tensors,
  onlyA,
  onlyB,
  total,
}: Comparison & { a: string; b: string }): string {
  const figure = (value: number | null): string => (value === null ? 'none' : value.toPrecision(5));
  const rows = [
    ['', a, b],
    ...metrics.map((row) => [row.name, figure(row.a), figure(row.b)]),
    ...settings.map((row) => [row.name, row.a, row.b]),
  ];
  const weights = [
    ['TENSOR', 'NORM A', 'NORM B', 'DIFFERENCE', 'COSINE'],
    ...tensors.map((row) => [
      row.name,
      figure(row.normA),
      figure(row.normB),
      figure(row.difference),
      figure(row.cosine),
    ]),
    ['all', figure(total.normA), figure(total.normB), figure(total.difference), figure(total.cosine)],
  ];
  const only = [
    ...onlyA.map((name) => `Only in ${a}: ${name}\n`),
    ...onlyB.map((name) => `Only in ${b}: ${name}\n`),
  ];
  return `${columns(rows)}\n${columns(weights)}${only.join('')}`;
}
