import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CheckpointRecord } from './records.ts';
import { planRetention, type RetentionPolicy } from './retention.ts';
import { testParts, testRecord } from './testing-records.ts';

const NOW = 1_000_000;
const PAST = new Date(NOW - 1).toISOString();
const FUTURE = new Date(NOW + 1).toISOString();
const steps = (checkpoints: { checkpoint: CheckpointRecord }[]) =>
  checkpoints.map(({ checkpoint }) => checkpoint.sequence);

/** The sequence numbers that would go. */
function goes(checkpoints: CheckpointRecord[], policy: RetentionPolicy): number[] {
  return steps(planRetention(checkpoints, policy, NOW).remove);
}
const many = (count: number, changes: (i: number) => Partial<CheckpointRecord> = () => ({})) =>
  Array.from({ length: count }, (_, i) => testRecord(i + 1, changes(i + 1)));

describe('planRetention', () => {
  it('keeps the latest, the best and every Nth, and lets the others go', () => {
    const checkpoints = many(10, (i) => ({ metrics: { loss: Math.abs(i - 4) } }));
    expect(goes(checkpoints, { keepLatest: 3 })).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const best = { count: 2, metric: 'loss', direction: 'min' } as const;
    // 3 and 5 are equally good: the earlier one is kept. The last good one stays in any case.
    expect(goes(checkpoints, { keepBest: best })).toEqual([1, 2, 5, 6, 7, 8, 9]);
    expect(goes(checkpoints, { keepBest: { ...best, direction: 'max' } })).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(goes(checkpoints, { keepEvery: 40 })).toEqual([1, 2, 3, 5, 6, 7, 9]);
    expect(goes(checkpoints, { keepLatest: 1, keepBest: { ...best, count: 1 }, keepEvery: 50 })).toEqual([
      1, 2, 3, 6, 7, 8, 9,
    ]);
    expect(goes(checkpoints, {})).toEqual([]);
  });

  it('says why each one goes or stays, and what that frees', () => {
    const checkpoints = [
      testRecord(1, { parts: testParts('a', 'shared') }),
      testRecord(2, { parts: testParts('b', 'shared'), expiresAt: PAST }),
      testRecord(3, { parts: testParts('c', 'elsewhere'), damage: { foundAt: PAST, problem: 'x' } }),
      testRecord(4, { parts: testParts('d', 'shared'), pinned: true }),
      testRecord(5, { parts: testParts('e'), metrics: { loss: NaN } }),
    ];
    const policy = {
      keepLatest: 1,
      keepBest: { count: 1, metric: 'loss', direction: 'min' },
    } as const;
    const other = testRecord(9, { id: 'other', runId: 'b', parts: testParts('elsewhere') });
    // The third is damaged, which holds the first two back until it is gone.
    const plan = planRetention(checkpoints, policy, NOW, [other]);
    expect(plan.remove.map(({ checkpoint, reason }) => [checkpoint.sequence, reason])).toEqual([
      [3, 'damaged'],
    ]);
    expect(plan.bytes).toBe(100);
    expect(plan.keep.map(({ checkpoint, reasons }) => [checkpoint.sequence, reasons])).toEqual([
      [1, ['newer-unverified']],
      [2, ['newer-unverified']],
      [4, ['pinned']],
      [5, ['last-good', 'latest']],
    ]);
    const next = planRetention(
      plan.keep.map(({ checkpoint }) => checkpoint),
      policy,
      NOW,
      [other],
    );
    expect(next.remove.map(({ checkpoint, reason }) => [checkpoint.sequence, reason])).toEqual([
      [1, 'not-kept'],
      [2, 'expired'],
    ]);
    expect(next.bytes).toBe(200);
  });

  it('lets the expired go that a rule would keep, and nobody else without rules', () => {
    const checkpoints = many(4, (i) => ({ expiresAt: i % 2 === 1 ? PAST : FUTURE }));
    expect(goes(checkpoints, { keepLatest: 4 })).toEqual([1, 3]);
    expect(goes(checkpoints, {})).toEqual([1, 3]);
  });

  it('counts each run and kind for itself', () => {
    const checkpoints = many(8, (i) => ({
      runId: i % 2 === 1 ? 'a' : 'b',
      kind: i > 4 ? 'sampler' : 'full',
    }));
    expect(goes(checkpoints, { keepLatest: 1 })).toEqual([1, 2, 5, 6]);
  });

  it('128: keeps the last that was read back when newer ones were not, and all that are pinned', () => {
    const checkpoints = many(4, (i) => (i > 2 ? { verifiedAt: null } : {}));
    expect(goes(checkpoints, { keepLatest: 1 })).toEqual([]);
    expect(
      goes(
        many(3, () => ({ pinned: true })),
        { keepLatest: 0 },
      ),
    ).toEqual([]);
    expect(goes(many(3), { keepLatest: 0 })).toEqual([1, 2]);
  });
});

/** What may happen to a run, in any order. */
const event = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('save' as const),
      run: fc.constantFrom('a', 'b'),
      sampler: fc.boolean(),
      delta: fc.nat(),
      isDelta: fc.boolean(),
      /** Read back right away, as a save usually is. */
      isVerified: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
      loss: fc.option(fc.constantFrom(NaN, 0, 1, 2, 3), { nil: undefined }),
      step: fc.nat(40),
      ttl: fc.option(fc.integer({ min: 1, max: 20 }), { nil: null }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('verify' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('damage' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pin' as const), pick: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('prune' as const),
      policy: fc.record(
        {
          keepLatest: fc.nat(4),
          keepBest: fc.record({
            count: fc.nat(3),
            metric: fc.constant('loss'),
            direction: fc.constantFrom('min' as const, 'max' as const),
          }),
          keepEvery: fc.integer({ min: 1, max: 10 }),
        },
        { requiredKeys: [] },
      ),
    }),
  },
);
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never;

const good = ({ verifiedAt, damage }: CheckpointRecord) => verifiedAt !== null && damage === null;
/** So that the property cannot hold for want of anything that goes. */
const seen = { removed: 0, protectedFromRules: 0, expired: 0 };

/** The protections, told again in the words of the promise and checked against a plan. */
function checkPlan(all: CheckpointRecord[], policy: RetentionPolicy, now: number): CheckpointRecord[] {
  const plan = planRetention(all, policy, now);
  const gone = new Set(plan.remove.map(({ checkpoint }) => checkpoint));
  const kept = plan.keep.map(({ checkpoint }) => checkpoint);
  expect(new Set([...gone, ...kept])).toEqual(new Set(all));
  expect(gone.size + kept.length).toBe(all.length);
  for (const checkpoint of gone) {
    expect(checkpoint.pinned).toBe(false);
    expect(all.filter(({ delta }) => delta?.baseId === checkpoint.id)).toEqual([]);
    const newer = all.filter((o) => o.runId === checkpoint.runId && o.sequence > checkpoint.sequence);
    expect(newer.filter((other) => !good(other))).toEqual([]);
    const expired = checkpoint.expiresAt !== null && Date.parse(checkpoint.expiresAt) <= now;
    expect(expired || Object.keys(policy).length > 0).toBe(true);
    if (expired) seen.expired += 1;
  }
  for (const run of ['a', 'b']) {
    for (const kind of ['full', 'sampler']) {
      const group = all.filter((other) => other.runId === run && other.kind === kind);
      const isLeft = kept.some((other) => group.includes(other) && good(other));
      expect(isLeft).toBe(group.some(good));
      const last = group.filter(good).sort((a, b) => b.sequence - a.sequence)[0];
      if (last !== undefined) expect(gone.has(last)).toBe(false);
    }
  }
  for (const { reasons } of plan.keep) if (!reasons.includes('latest')) seen.protectedFromRules += 1;
  const chunks = (some: Iterable<CheckpointRecord>) =>
    new Set([...some].flatMap(({ parts }) => parts.flatMap((part) => part.chunks.map((c) => c.sha256))));
  const left = chunks(kept);
  expect(plan.bytes).toBe(100 * [...chunks(gone)].filter((sha256) => !left.has(sha256)).length);
  seen.removed += gone.size;
  return kept;
}

function play(events: Event[]): void {
  let all: CheckpointRecord[] = [];
  let now = 0;
  for (const happened of events) {
    now += 1000;
    const i = all.length === 0 ? -1 : ('pick' in happened ? happened.pick : 0) % all.length;
    const change = (changes: Partial<CheckpointRecord>) => {
      all = all.map((checkpoint, j) => (j === i ? { ...checkpoint, ...changes } : checkpoint));
    };
    if (happened.kind === 'save') {
      const bases = all.filter(({ delta, runId }) => delta === null && runId === happened.run);
      const base = happened.isDelta ? bases[happened.delta % Math.max(1, bases.length)] : undefined;
      const hashes = { baseSha256: '', resultSha256: '', measuredRatio: 1 };
      const sequence = now / 1000;
      all.push(
        testRecord(sequence, {
          runId: happened.run,
          kind: happened.sampler ? 'sampler' : 'full',
          step: happened.step,
          metrics: happened.loss === undefined ? {} : { loss: happened.loss },
          delta: base === undefined ? null : { baseId: base.id, ...hashes },
          parts: testParts(`own-${String(sequence)}`, `shared-${String(sequence % 3)}`),
          expiresAt: happened.ttl === null ? null : new Date(now + happened.ttl * 1000).toISOString(),
          verifiedAt: happened.isVerified ? new Date(now).toISOString() : null,
        }),
      );
    } else if (happened.kind === 'verify') change({ verifiedAt: new Date(now).toISOString(), damage: null });
    else if (happened.kind === 'damage') {
      change({ verifiedAt: null, damage: { foundAt: new Date(now).toISOString(), problem: 'x' } });
    } else if (happened.kind === 'pin') change({ pinned: true });
    else all = checkPlan(all, happened.policy, now);
  }
}

it('128: never takes away what it promises to keep, whatever happens in whatever order', () => {
  fc.assert(
    fc.property(fc.array(event, { minLength: 5, maxLength: 60, size: 'max' }), (events) => play(events)),
    { numRuns: 500 },
  );
  expect(seen.removed).toBeGreaterThan(300);
  expect(seen.expired).toBeGreaterThan(30);
  expect(seen.protectedFromRules).toBeGreaterThan(1000);
});
