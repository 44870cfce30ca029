import { describe, expect, it } from 'vitest';
import { lineageOf, listCheckpoints, sizesOf, sortCheckpoints, type ListQuery } from './list.ts';
import type { CheckpointRecord } from './records.ts';
import { RECORD_VERSION } from './records.ts';
import { sizeText } from './sizes.ts';
import { testParts, testRecord } from './testing-records.ts';

const ids = (checkpoints: readonly CheckpointRecord[]) => checkpoints.map(({ id }) => Number(id.slice(3)));

describe('listCheckpoints', () => {
  const checkpoints = [
    testRecord(1, { tags: ['a', 'b'], metrics: { loss: 3 }, note: 'The FIRST one' }),
    testRecord(2, { tags: ['b'], metrics: { loss: 1, f1: 0.5 }, metadata: { Author: 'Ada' }, size: 9 }),
    testRecord(3, { kind: 'sampler', trigger: 'final', metrics: {}, pinned: true, name: 'release' }),
    testRecord(4, { runId: 'b', metrics: { loss: 2 }, damage: { foundAt: '', problem: 'x' }, size: 4 }),
  ];
  const found = (query: ListQuery) => ids(listCheckpoints(checkpoints, { order: 'asc', ...query }).items);

  it('filters by each field and by all together', () => {
    expect(found({})).toEqual([1, 2, 3, 4]);
    expect(found({ runId: 'b' })).toEqual([4]);
    expect(found({ kind: 'sampler' })).toEqual([3]);
    expect(found({ trigger: 'final' })).toEqual([3]);
    expect(found({ tags: ['b'] })).toEqual([1, 2]);
    expect(found({ tags: ['a', 'b'] })).toEqual([1]);
    expect(found({ pinned: true })).toEqual([3]);
    expect(found({ damaged: false })).toEqual([1, 2, 3]);
    expect(found({ minStep: 20, maxStep: 30 })).toEqual([2, 3]);
    expect(found({ metric: { name: 'loss' } })).toEqual([1, 2, 4]);
    expect(found({ metric: { name: 'loss', min: 2, max: 3 } })).toEqual([1, 4]);
    expect(found({ text: 'first' })).toEqual([1]);
    expect(found({ text: 'author' })).toEqual([2]);
    expect(found({ text: 'ADA' })).toEqual([2]);
    expect(found({ text: 'Release' })).toEqual([3]);
    expect(found({ runId: 'a', tags: ['b'], metric: { name: 'loss', max: 2 } })).toEqual([2]);
  });

  it('sorts by time of saving, step, name, size or metric; what lacks the metric comes last', () => {
    const order = (sort: ListQuery['sort'], direction: 'asc' | 'desc') =>
      ids(sortCheckpoints(checkpoints, sort ?? 'saved', direction));
    expect(order('saved', 'desc')).toEqual([4, 3, 2, 1]);
    expect(order('step', 'desc')).toEqual([4, 3, 2, 1]);
    expect(order('name', 'asc')).toEqual([3, 1, 2, 4]);
    expect(order('size', 'desc')).toEqual([2, 4, 3, 1]);
    expect(order({ metric: 'loss' }, 'asc')).toEqual([2, 4, 1, 3]);
    expect(order({ metric: 'loss' }, 'desc')).toEqual([1, 4, 2, 3]);
  });

  it('goes by the order of saving within a run, whatever the clock said', () => {
    const createdAt = ['2026-01-03', '2026-01-01', '2026-01-02'];
    const run = createdAt.map((time, i) => testRecord(i + 1, { createdAt: time }));
    expect(ids(sortCheckpoints(run, 'saved', 'asc'))).toEqual([1, 2, 3]);
    const other = testRecord(9, { runId: 'b', createdAt: '2026-01-02T12:00' });
    expect(ids(sortCheckpoints([...run, other], 'saved', 'asc'))).toEqual([2, 3, 9, 1]);
  });

  it('pages', () => {
    const seen: number[] = [];
    let offset: number | null = 0;
    while (offset !== null) {
      const page = listCheckpoints(checkpoints, { limit: 3, offset });
      expect(page.total).toBe(4);
      seen.push(...ids(page.items));
      offset = page.nextOffset;
    }
    expect(seen).toEqual([4, 3, 2, 1]);
    expect(listCheckpoints(checkpoints, { offset: 99 }).items).toEqual([]);
  });
});

it('follows a lineage over runs, to where it ends or turns in a circle', () => {
  const checkpoints = [
    testRecord(1, { parentId: 'id-0' }),
    testRecord(2, { parentId: 'id-1' }),
    testRecord(3, { parentId: 'id-2', runId: 'b' }),
    testRecord(4, { parentId: 'id-2' }),
    testRecord(5, { parentId: 'id-6' }),
    testRecord(6, { parentId: 'id-5' }),
  ];
  const of = (sequence: number) => {
    const start = checkpoints.find((checkpoint) => checkpoint.sequence === sequence);
    const { ancestors, children, missingParentId } = lineageOf(checkpoints, start ?? testRecord(99));
    return [ids(ancestors), ids(children), missingParentId];
  };
  expect(of(3)).toEqual([[2, 1], [], 'id-0']);
  expect(of(2)).toEqual([[1], [3, 4], 'id-0']);
  expect(of(5)).toEqual([[6], [6], null]);
  expect(of(99)).toEqual([[], [], null]);
});

it('counts shared bytes once', () => {
  const a = testRecord(1, { parts: testParts('x', 'shared') });
  const b = testRecord(2, { runId: 'b', parts: testParts('y', 'shared', 'binned-too') });
  const c = testRecord(3, { parts: testParts('z', 'shared', 'binned-too') });
  const tombstone = { version: RECORD_VERSION, id: c.id, deletedAt: '', checkpoint: c } as const;
  const sizes = sizesOf({
    runs: [],
    checkpoints: [a, b],
    tombstones: [{ ...tombstone, reason: 'asked' }],
    journals: [],
    unreadable: [],
  });
  expect([sizes.totalBytes, sizes.binBytes]).toEqual([500, 100]);
  expect(sizes.runs.get('a')).toEqual({ checkpoints: 1, bytes: 200, ownBytes: 100 });
  expect(sizes.runs.get('b')).toEqual({ checkpoints: 1, bytes: 300, ownBytes: 100 });
});

it('writes sizes as people read them', () => {
  const sizes = [0, 999, 1000, 1550, 999_949, 999_950, 12_345_678, 2e9, 5e15];
  expect(sizes.map(sizeText)).toEqual([
    '0 bytes',
    '999 bytes',
    '1.0 kB',
    '1.6 kB',
    '999.9 kB',
    '1.0 MB',
    '12.3 MB',
    '2.0 GB',
    '5000.0 TB',
  ]);
});
