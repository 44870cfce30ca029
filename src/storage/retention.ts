/**
 * Which checkpoints a policy lets go, and which stay whatever it says. A pure function, so that what would happen can
 * be shown before it does.
 */
import { bytesOnlyIn, type CheckpointRecord } from './records.ts';

export interface RetentionPolicy {
  /** Keep the newest so many. */
  keepLatest?: number;
  /** Keep the best so many by a metric; of equals the earlier. */
  keepBest?: { count: number; metric: string; direction: 'min' | 'max' };
  /** Keep those whose step is a multiple of this. */
  keepEvery?: number;
}

export type KeepReason =
  | 'latest'
  | 'best'
  | 'every'
  /** No rule is declared that could take it away. */
  | 'no-rule'
  | 'pinned'
  | 'last-good'
  | 'delta-base'
  /** A newer one has not been read back yet, or was found damaged. */
  | 'newer-unverified';

export type RemoveReason = 'not-kept' | 'expired' | 'damaged';

export interface RetentionPlan {
  remove: { checkpoint: CheckpointRecord; reason: RemoveReason }[];
  keep: { checkpoint: CheckpointRecord; reasons: KeepReason[] }[];
  /** What leaving frees once the bin is emptied as well. */
  bytes: number;
}

export const isVerified = ({ verifiedAt, damage }: CheckpointRecord): boolean =>
  verifiedAt !== null && damage === null;

/** Later ones first. */
const byAge = (a: CheckpointRecord, b: CheckpointRecord): number => b.sequence - a.sequence;

/** The best by a metric; those without a finite value never win, and of equals the earlier does. */
export function bestOf(
  checkpoints: readonly CheckpointRecord[],
  metric: string,
  direction: 'min' | 'max',
  count: number,
): CheckpointRecord[] {
  const sign = direction === 'min' ? 1 : -1;
  return checkpoints
    .flatMap((checkpoint) => {
      const value = checkpoint.metrics[metric];
      return value !== undefined && Number.isFinite(value) ? [{ checkpoint, value: sign * value }] : [];
    })
    .sort((a, b) => a.value - b.value || a.checkpoint.sequence - b.checkpoint.sequence)
    .slice(0, count)
    .map(({ checkpoint }) => checkpoint);
}

function grouped(
  checkpoints: readonly CheckpointRecord[],
  key: (checkpoint: CheckpointRecord) => string,
): CheckpointRecord[][] {
  const groups = new Map<string, CheckpointRecord[]>();
  for (const checkpoint of checkpoints) {
    const group = groups.get(key(checkpoint));
    if (group === undefined) groups.set(key(checkpoint), [checkpoint]);
    else group.push(checkpoint);
  }
  return [...groups.values()];
}

type Reasons = Map<CheckpointRecord, Set<KeepReason>>;

function note(reasons: Reasons, checkpoints: Iterable<CheckpointRecord>, reason: KeepReason): void {
  for (const checkpoint of checkpoints) {
    const known = reasons.get(checkpoint);
    if (known === undefined) reasons.set(checkpoint, new Set([reason]));
    else known.add(reason);
  }
}

/** What must stay whatever the policy says. */
export function protectedOnes(checkpoints: readonly CheckpointRecord[]): Reasons {
  const reasons: Reasons = new Map();
  const bases = new Set(checkpoints.flatMap(({ delta }) => (delta === null ? [] : [delta.baseId])));
  for (const checkpoint of checkpoints) {
    if (checkpoint.pinned) note(reasons, [checkpoint], 'pinned');
    if (bases.has(checkpoint.id)) note(reasons, [checkpoint], 'delta-base');
  }
  for (const run of grouped(checkpoints, ({ runId }) => runId)) {
    const newestUnverified = run.filter((other) => !isVerified(other)).sort(byAge)[0];
    if (newestUnverified === undefined) continue;
    const older = run.filter(({ sequence }) => sequence < newestUnverified.sequence);
    note(reasons, older, 'newer-unverified');
  }
  for (const kind of grouped(checkpoints, ({ runId, kind }) => `${runId} ${kind}`)) {
    const newestFirst = [...kind].sort(byAge);
    // One that was never read back may turn out bad, so it does not stand in for one that was.
    const lastGood = newestFirst.find(isVerified) ?? newestFirst.find(({ damage }) => damage === null);
    if (lastGood !== undefined) note(reasons, [lastGood], 'last-good');
  }
  return reasons;
}

/** What the rules keep, among the checkpoints of one run and kind. Damaged ones are no use to any rule. */
function keptByRules(group: readonly CheckpointRecord[], policy: RetentionPolicy, reasons: Reasons): void {
  const { keepLatest, keepBest, keepEvery } = policy;
  const sound = group.filter(({ damage }) => damage === null);
  if (keepLatest === undefined && keepBest === undefined && keepEvery === undefined) {
    note(reasons, group, 'no-rule');
    return;
  }
  if (keepLatest !== undefined) note(reasons, [...sound].sort(byAge).slice(0, keepLatest), 'latest');
  if (keepBest !== undefined) {
    const { metric, direction, count } = keepBest;
    note(reasons, bestOf(sound, metric, direction, count), 'best');
  }
  if (keepEvery !== undefined && keepEvery > 0) {
    note(
      reasons,
      sound.filter(({ step }) => step % keepEvery === 0),
      'every',
    );
  }
}

/**
 * What a policy would remove from these checkpoints, of one run or of several, each run and kind for itself. A
 * checkpoint goes when it has expired, or when rules are declared and none keeps it; never when it is protected.
 * `others` are records that stay in any case and may share bytes (other runs).
 */
export function planRetention(
  checkpoints: readonly CheckpointRecord[],
  policy: RetentionPolicy,
  now: number,
  others: readonly CheckpointRecord[] = [],
): RetentionPlan {
  const guarded = protectedOnes([...checkpoints, ...others]);
  const wanted: Reasons = new Map();
  for (const group of grouped(checkpoints, ({ runId, kind }) => `${runId} ${kind}`)) {
    keptByRules(group, policy, wanted);
  }
  const plan: RetentionPlan = { remove: [], keep: [], bytes: 0 };
  for (const checkpoint of checkpoints) {
    const { expiresAt, damage } = checkpoint;
    const expired = expiresAt !== null && Date.parse(expiresAt) <= now;
    const protection = [...(guarded.get(checkpoint) ?? [])];
    const rules = [...(wanted.get(checkpoint) ?? [])];
    if (protection.length > 0 || (rules.length > 0 && !expired)) {
      plan.keep.push({ checkpoint, reasons: [...protection, ...(expired ? [] : rules)] });
    } else {
      const reason = expired ? 'expired' : damage === null ? 'not-kept' : 'damaged';
      plan.remove.push({ checkpoint, reason });
    }
  }
  const staying = [...others, ...plan.keep.map(({ checkpoint }) => checkpoint)];
  plan.bytes = bytesOnlyIn(
    plan.remove.map(({ checkpoint }) => checkpoint),
    staying,
  );
  return plan;
}
