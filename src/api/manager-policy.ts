/** When a manager saves, and what it lets go: pure decisions over steps, times and lists. */
import { sortCheckpoints } from './list-order.ts';
import type { Checkpoint } from './types.ts';

/** A checkpoint of a manager: the state and the sampler weights that were saved under one name. */
export interface ManagedUnit {
  name: string;
  step: number;
  role: 'periodic' | 'rolling' | 'final';
  rows: Checkpoint[];
  bytes: number;
}

const PERIODIC = /^(?:step-|auto_checkpoint_)(\d+)(?:-\d+)?$/;
const ROLLING = /^rolling-(\d+)$/;

export const nameOf = (row: Checkpoint): string => row.checkpointId.split('/')[1] ?? '';
export const periodicName = (step: number): string => `step-${String(step).padStart(6, '0')}`;

function roleOf(name: string): ManagedUnit['role'] | null {
  if (PERIODIC.test(name)) return 'periodic';
  if (ROLLING.test(name)) return 'rolling';
  return name === 'final' ? 'final' : null;
}

/** The units among a run's rows, oldest first. What people saved under names of their own is not among them. */
export function unitsOf(rows: readonly Checkpoint[]): ManagedUnit[] {
  const units = new Map<string, ManagedUnit>();
  for (const row of sortCheckpoints(rows)) {
    const name = nameOf(row);
    const role = roleOf(name);
    if (role === null) continue;
    const unit = units.get(name);
    if (unit !== undefined) {
      unit.rows.push(row);
      unit.bytes += row.sizeBytes ?? 0;
    } else {
      const step = row.step ?? Number(PERIODIC.exec(name)?.[1] ?? 0);
      units.set(name, { name, step, role, rows: [row], bytes: row.sizeBytes ?? 0 });
    }
  }
  return [...units.values()];
}

export interface BestRule {
  metric: string;
  mode: 'min' | 'max';
  keep: number;
}

/** The best so many of what has a finite value; of equals the earlier. */
export function bestUnits(
  units: readonly ManagedUnit[],
  rule: BestRule,
  metric: (unit: ManagedUnit) => number,
): ManagedUnit[] {
  const sign = rule.mode === 'min' ? 1 : -1;
  return units
    .filter((unit) => Number.isFinite(metric(unit)))
    .map((unit, i) => ({ unit, value: sign * metric(unit), i }))
    .sort((a, b) => a.value - b.value || a.i - b.i)
    .slice(0, rule.keep)
    .map(({ unit }) => unit);
}

export interface RetentionRule {
  /** Keep the newest so many periodic ones; null keeps all. */
  maxCheckpoints: number | null;
  /** Every so many steps one is kept for good; 0 is off. */
  keepEvery: number;
  best: BestRule | null;
}

export interface Retention {
  /** Moved to a cold store; only with `archiveTo`. */
  archive?: ManagedUnit[];
  remove: ManagedUnit[];
  keep: ManagedUnit[];
  freedBytes: number;
}

const isGood = (unit: ManagedUnit): boolean => unit.rows.every(({ state }) => state === 'complete');

/**
 * What may go. Never: what is pinned or public, the best, the final one, the newest good one, and what a delta is based on.
 * Of rolling ones the newest stays.
 */
export function planRetention(
  units: readonly ManagedUnit[],
  rule: RetentionRule,
  pinned: ReadonlySet<string>,
  metric: (unit: ManagedUnit) => number,
): Retention {
  const keep = new Set<ManagedUnit>();
  const bases = new Set(
    units.flatMap(({ rows }) => rows.flatMap((row) => (row.encoding === 'delta' ? [row.parentPath] : []))),
  );
  for (const unit of units) {
    const held = unit.rows.some(
      (row) => row.pinned || row.public || pinned.has(row.path) || bases.has(row.path),
    );
    if (held || unit.role === 'final') keep.add(unit);
  }
  const periodic = units.filter(({ role }) => role === 'periodic');
  const good = periodic.filter(isGood);
  if (rule.maxCheckpoints === null) for (const unit of periodic) keep.add(unit);
  else for (const unit of good.slice(Math.max(0, good.length - rule.maxCheckpoints))) keep.add(unit);
  if (rule.keepEvery > 0) for (const unit of good) if (unit.step % rule.keepEvery === 0) keep.add(unit);
  if (rule.best !== null) for (const unit of bestUnits(good, rule.best, metric)) keep.add(unit);
  // Of those that hold a state: what a run can be resumed from must stay.
  const states = units.filter(
    (unit) => isGood(unit) && unit.rows.some(({ checkpointType }) => checkpointType === 'training'),
  );
  const lastGood = states.at(-1);
  if (lastGood !== undefined) keep.add(lastGood);
  const rolling = units.filter(({ role }) => role === 'rolling').at(-1);
  if (rolling !== undefined) keep.add(rolling);
  const remove = units.filter((unit) => !keep.has(unit));
  return {
    remove,
    keep: units.filter((unit) => keep.has(unit)),
    freedBytes: remove.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/**
 * What goes to a cold store: all that the rules let go, and of what they keep the periodic ones that are old enough. Never
 * the newest state, which a run is resumed from, nor what is pinned, public or the base of a delta.
 */
export function planArchive(
  plan: Retention,
  pinned: ReadonlySet<string>,
  isOld: (unit: ManagedUnit) => boolean,
): Retention & { archive: ManagedUnit[] } {
  const rows = plan.keep.flatMap((unit) => unit.rows);
  const bases = new Set(rows.flatMap((row) => (row.encoding === 'delta' ? [row.parentPath] : [])));
  const newest = plan.keep.findLast(
    (unit) => isGood(unit) && unit.rows.some(({ checkpointType }) => checkpointType === 'training'),
  );
  const old = plan.keep.filter(
    (unit) =>
      unit !== newest &&
      unit.role === 'periodic' &&
      isGood(unit) &&
      isOld(unit) &&
      !unit.rows.some((row) => row.pinned || row.public || pinned.has(row.path) || bases.has(row.path)),
  );
  // A damaged one is not worth a place there.
  const archive = [...plan.remove.filter(isGood), ...old];
  const remove = plan.remove.filter((unit) => !isGood(unit));
  return {
    archive,
    remove,
    keep: plan.keep.filter((unit) => !old.includes(unit)),
    freedBytes: [...archive, ...remove].reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

export interface AdaptiveRule {
  minEvery: number;
  zThreshold: number;
}

const WINDOW = 50;
const CALM = 100;

/** An interval that halves when the loss jumps, and returns after a hundred calm steps. */
export class AdaptiveInterval {
  readonly #base: number;
  readonly #rule: AdaptiveRule;
  readonly #losses: number[] = [];
  #interval: number;
  #calm = 0;

  constructor(base: number, rule: AdaptiveRule) {
    this.#base = base;
    this.#rule = rule;
    this.#interval = base;
  }

  get interval(): number {
    return this.#interval;
  }

  /** Takes the loss of one step. */
  observe(loss: number): void {
    const window = this.#losses;
    const mean = window.reduce((a, b) => a + b, 0) / window.length;
    const spread = Math.sqrt(window.reduce((sum, x) => sum + (x - mean) ** 2, 0) / window.length);
    const jumped =
      window.length >= 10 &&
      (!Number.isFinite(loss) || (loss - mean) / (spread || 1e-12) > this.#rule.zThreshold);
    if (jumped) {
      this.#interval = Math.max(this.#rule.minEvery, Math.floor(this.#interval / 2));
      this.#calm = 0;
    } else if (++this.#calm >= CALM) {
      this.#interval = this.#base;
    }
    if (!Number.isFinite(loss)) return;
    window.push(loss);
    if (window.length > WINDOW) window.shift();
  }
}
