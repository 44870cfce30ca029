/** Finding checkpoints: filters, order, pages, lineage and sizes, over the records alone. */
import { bytesOnlyIn, chunksOf, type CheckpointRecord, type StoreContents } from './records.ts';

export type SortKey = 'saved' | 'step' | 'name' | 'size' | { metric: string };

export interface ListQuery {
  runId?: string;
  kind?: CheckpointRecord['kind'];
  trigger?: string;
  /** All of these. */
  tags?: readonly string[];
  pinned?: boolean;
  damaged?: boolean;
  minStep?: number;
  maxStep?: number;
  /** A metric that must be there, and where given lie between these, both included. */
  metric?: { name: string; min?: number; max?: number };
  /** In the name, the note, the tags or the metadata, whatever the case. */
  text?: string;
  /** Default: by time of saving, newest first. */
  sort?: SortKey;
  order?: 'asc' | 'desc';
  offset?: number;
  /** Default 100. */
  limit?: number;
}

export interface CheckpointPage {
  items: CheckpointRecord[];
  /** Matches on all pages. */
  total: number;
  offset: number;
  /** Where the next page starts; null on the last. */
  nextOffset: number | null;
}

function hasText(checkpoint: CheckpointRecord, text: string): boolean {
  const { name, note, tags, metadata } = checkpoint;
  const wanted = text.toLowerCase();
  return [name, note, ...tags, ...Object.keys(metadata), ...Object.values(metadata)].some((part) =>
    part.toLowerCase().includes(wanted),
  );
}

function inRange(value: number | undefined, min = -Infinity, max = Infinity): boolean {
  return value !== undefined && value >= min && value <= max;
}

function matches(checkpoint: CheckpointRecord, query: ListQuery): boolean {
  const { runId, kind, trigger, tags, pinned, damaged, metric, text } = query;
  return (
    (runId === undefined || checkpoint.runId === runId) &&
    (kind === undefined || checkpoint.kind === kind) &&
    (trigger === undefined || checkpoint.trigger === trigger) &&
    (pinned === undefined || checkpoint.pinned === pinned) &&
    (damaged === undefined || (checkpoint.damage !== null) === damaged) &&
    (tags ?? []).every((tag) => checkpoint.tags.includes(tag)) &&
    inRange(checkpoint.step, query.minStep, query.maxStep) &&
    (metric === undefined || inRange(checkpoint.metrics[metric.name], metric.min, metric.max)) &&
    (text === undefined || hasText(checkpoint, text))
  );
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Within one run the order of saving is known; between runs only the clocks tell. */
function compareSaved(a: CheckpointRecord, b: CheckpointRecord, oneRun: boolean): number {
  if (oneRun) return a.sequence - b.sequence;
  return compareText(a.createdAt, b.createdAt) || compareText(a.id, b.id);
}

/** Sorts a copy. Checkpoints without the metric come last in either order. */
export function sortCheckpoints(
  checkpoints: readonly CheckpointRecord[],
  key: SortKey,
  order: 'asc' | 'desc',
): CheckpointRecord[] {
  const sign = order === 'asc' ? 1 : -1;
  const oneRun = new Set(checkpoints.map(({ runId }) => runId)).size <= 1;
  const compare = (a: CheckpointRecord, b: CheckpointRecord): number => {
    if (typeof key === 'object') {
      const left = a.metrics[key.metric];
      const right = b.metrics[key.metric];
      if (left === undefined || right === undefined) {
        return Number(left === undefined) - Number(right === undefined);
      }
      return sign * (left - right);
    }
    switch (key) {
      case 'saved':
        return 0;
      case 'step':
        return sign * (a.step - b.step);
      case 'size':
        return sign * (a.size - b.size);
      case 'name':
        return sign * compareText(a.name, b.name);
    }
  };
  return [...checkpoints].sort((a, b) => compare(a, b) || sign * compareSaved(a, b, oneRun));
}

/** One page of what matches. */
export function listCheckpoints(
  checkpoints: readonly CheckpointRecord[],
  query: ListQuery = {},
): CheckpointPage {
  const found = checkpoints.filter((checkpoint) => matches(checkpoint, query));
  const sorted = sortCheckpoints(found, query.sort ?? 'saved', query.order ?? 'desc');
  const offset = Math.max(0, Math.floor(query.offset ?? 0));
  const end = offset + Math.max(1, Math.floor(query.limit ?? 100));
  return {
    items: sorted.slice(offset, end),
    total: sorted.length,
    offset,
    nextOffset: end < sorted.length ? end : null,
  };
}

export interface Lineage {
  /** From the parent back to the first; ends early where one is no longer in the store. */
  ancestors: CheckpointRecord[];
  /** The parent that the chain ends at because it is gone; null when the chain is whole. */
  missingParentId: string | null;
  /** Those that went on from this one directly, in any run. */
  children: CheckpointRecord[];
}

/** Where a checkpoint comes from and what came of it. */
export function lineageOf(checkpoints: readonly CheckpointRecord[], start: CheckpointRecord): Lineage {
  const byId = new Map(checkpoints.map((checkpoint) => [checkpoint.id, checkpoint]));
  const ancestors: CheckpointRecord[] = [];
  let parentId = start.parentId;
  while (parentId !== null) {
    const parent = byId.get(parentId);
    if (parent === undefined || ancestors.includes(parent) || parent === start) break;
    ancestors.push(parent);
    parentId = parent.parentId;
  }
  const children = checkpoints.filter((checkpoint) => checkpoint.parentId === start.id);
  const missingParentId = parentId !== null && !byId.has(parentId) ? parentId : null;
  return { ancestors, missingParentId, children: sortCheckpoints(children, 'saved', 'asc') };
}

export interface StoreSizes {
  /** All stored bytes, each once. */
  totalBytes: number;
  /** Bytes that only the bin still needs. */
  binBytes: number;
  /** By run: its listed checkpoints, how many bytes they have, and how many nobody else shares. */
  runs: Map<string, { checkpoints: number; bytes: number; ownBytes: number }>;
}

const sum = (sizes: ReadonlyMap<string, number>): number => [...sizes.values()].reduce((a, b) => a + b, 0);

/** What takes up how much; a chunk that several share counts once. */
export function sizesOf({ checkpoints, tombstones }: StoreContents): StoreSizes {
  const binned = tombstones.map(({ checkpoint }) => checkpoint);
  const runs: StoreSizes['runs'] = new Map();
  for (const runId of new Set(checkpoints.map((checkpoint) => checkpoint.runId))) {
    const own = checkpoints.filter((checkpoint) => checkpoint.runId === runId);
    const others = [...checkpoints.filter((checkpoint) => checkpoint.runId !== runId), ...binned];
    runs.set(runId, {
      checkpoints: own.length,
      bytes: sum(chunksOf(own)),
      ownBytes: bytesOnlyIn(own, others),
    });
  }
  return {
    totalBytes: sum(chunksOf([...checkpoints, ...binned])),
    binBytes: bytesOnlyIn(binned, checkpoints),
    runs,
  };
}
