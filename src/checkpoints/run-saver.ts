/**
 * Saves a run while it trains: decides when, copies the state out of the GPU, writes it while training goes on, and lets
 * go what the policy lets go. A rule's save that fails is told and the run goes on in memory; one asked for by a person
 * rejects.
 */
import type { RunPosition, StepMetrics } from '../engine/index.ts';
import { StudioError, toErrorFields, type ErrorFields } from '../errors.ts';
import { captureCheckpoint, snapshotSession, type RunMoment } from '../run/capture.ts';
import { logEvaluation, logStep } from '../run/run-log.ts';
import type { Run } from '../run/start-run.ts';
import type { CheckpointStore, RunWriter } from '../storage/checkpoint-store.ts';
import type { SaveResult } from '../storage/commit.ts';
import type { NewCheckpoint } from '../storage/new-checkpoint.ts';
import type { CheckpointRecord } from '../storage/records.ts';
import type { StoredCheckpoint } from '../storage/stored-files.ts';
import { isVerified } from '../storage/retention.ts';
import { encodeParts } from './encodings.ts';
import { checkpointName, dueTriggers, type SavePolicy, type SaveTrigger } from './save-policy.ts';

export interface SavedEvent {
  checkpoint: CheckpointRecord;
  trigger: SaveTrigger;
  /** Milliseconds for which training was held. */
  stallMs: number;
  /** Milliseconds from the copy to the end of each phase. */
  times: SaveResult['times'];
  /** Bytes that were not in the store before. */
  writtenBytes: number;
  /** What the policy let go after it. */
  removed: readonly CheckpointRecord[];
}

export interface SaverOptions {
  store: CheckpointStore;
  writer: RunWriter;
  run: Run;
  policy: SavePolicy;
  /** The checkpoint that the run went on from. */
  parentId: string | null;
  onSaved?: (event: SavedEvent) => void;
  onFailed?: (error: ErrorFields, trigger: SaveTrigger) => void;
  /** Milliseconds since 1970; default the clock. */
  now?: () => number;
}

/** What a person may say of a save by hand. */
export type ManualSave = Partial<
  Pick<NewCheckpoint, 'name' | 'note' | 'tags' | 'metadata' | 'ttlSeconds' | 'overwrite'>
>;

/** Differences grow with the distance from their base: after so many one is stored whole again. */
const DELTAS_PER_WHOLE = 10;

export class RunSaver {
  readonly #options: SaverOptions;
  readonly #now: () => number;
  #moment: Omit<RunMoment, 'log' | 'microStep' | 'metadata'>;
  #names: Promise<Set<string>>;
  #parentId: string | null;
  #lastSave: number;
  /** The step of the newest save of this saver, so that a pause right after a save does not save again. */
  #savedStep: number | null = null;
  /** The last checkpoint that is stored whole, and how many rest on it. */
  #whole: { id: string; deltas: number } | null = null;
  /** The write under way; never rejects. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: SaverOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#moment = { ...options.run.from, last: null };
    this.#parentId = options.parentId;
    this.#lastSave = this.#now();
    if (options.parentId !== null) this.#savedStep = options.run.from.step;
    this.#names = namesOf(options.store, options.writer.runId);
    this.#names.catch(() => undefined);
  }

  get runId(): string {
    return this.#options.writer.runId;
  }

  /** Notes the evaluation before the first step. */
  evaluated(step: number, evalLoss: number): void {
    logEvaluation(this.#options.run.log, step, evalLoss);
  }

  /** Notes a step, and saves where a rule calls for it; resolves as soon as training may go on. */
  async observe(metrics: StepMetrics, position: RunPosition): Promise<void> {
    const { policy, run } = this.#options;
    const isBest = logStep(run.log, metrics, policy.best);
    const { step, epoch, loss, lr, gradNorm } = metrics;
    this.#moment = { ...position, last: { step, epoch, loss, lr, gradNorm } };
    const minutesSinceSave = (this.#now() - this.#lastSave) / 60_000;
    const [trigger] = dueTriggers(policy, { step, isBest, minutesSinceSave });
    if (trigger === undefined) return;
    const { done } = await this.#begin(trigger, {}, isBest);
    done.catch((error: unknown) => this.#options.onFailed?.(toErrorFields(error), trigger));
  }

  /**
   * Saves what the session holds now; the caller sees to it that no step is under way. Resolves once it is committed and
   * read back. Throws STORE_FULL, CHECKPOINT_EXISTS, CHECKPOINT_NAME, LOSS_NOT_FINITE or what the home says.
   */
  async save(trigger: SaveTrigger, manual: ManualSave = {}): Promise<SavedEvent> {
    const { done } = await this.#begin(trigger, manual, false);
    return done;
  }

  /** The same for a trigger that has nothing to add where this step is saved already. Failures are told, not thrown. */
  async saveUnlessSaved(trigger: SaveTrigger): Promise<void> {
    await this.settle();
    if (this.#savedStep === this.#moment.step || this.#moment.step === 0) return;
    await this.save(trigger).catch((error: unknown) =>
      this.#options.onFailed?.(toErrorFields(error), trigger),
    );
  }

  /** Saves the end of a run, and waits for everything. Failures are told, not thrown. */
  async finish(end: 'done' | 'stopped' | 'interrupt'): Promise<void> {
    if (end === 'done' && this.#options.policy.final) {
      await this.save('final').catch((error: unknown) =>
        this.#options.onFailed?.(toErrorFields(error), 'final'),
      );
    } else if (end !== 'done') await this.saveUnlessSaved(end);
    await this.settle();
  }

  /** Waits for the write under way. */
  async settle(): Promise<void> {
    await this.#writing;
  }

  /** Queues the copies, and hands out the promise of the write. One copy is held at a time: a second save waits here. */
  async #begin(
    trigger: SaveTrigger,
    manual: ManualSave,
    isBest: boolean,
  ): Promise<{ done: Promise<SavedEvent> }> {
    const start = this.#now();
    await this.#writing;
    const { run, policy } = this.#options;
    const step = this.#moment.step;
    const name = manual.name ?? (await this.#freeName(checkpointName(trigger, step)));
    if (isBest && run.log.best !== null) run.log.best = { ...run.log.best, checkpoint: name };
    const { log } = run;
    const metadata = manual.metadata ?? {};
    const moment: RunMoment = {
      ...this.#moment,
      microStep: 0,
      log: { ...log, records: [...log.records] },
      metadata,
    };
    const snapshot = snapshotSession(run.session);
    const stallMs = this.#now() - start;
    const write = async (): Promise<SavedEvent> => {
      const { parts, manifest, metrics } = await captureCheckpoint(run.identity, moment, await snapshot);
      const byHand = trigger === 'manual';
      const stored = policy.delta
        ? await encodeParts(parts, await this.#deltaBase())
        : { parts, delta: null };
      const input: NewCheckpoint = {
        name,
        step,
        kind: 'full',
        trigger,
        ...stored,
        manifest,
        metrics,
        parentId: this.#parentId,
        // What a person saved by hand stays until a person deletes it.
        pinned: byHand,
        ttlSeconds: byHand || trigger === 'final' ? null : policy.ttlSeconds,
        ...manual,
      };
      const { checkpoint, times, writtenBytes } = await this.#options.writer.save(input);
      (await this.#names).add(name);
      this.#parentId = checkpoint.id;
      if (checkpoint.delta === null) this.#whole = { id: checkpoint.id, deltas: 0 };
      else if (this.#whole !== null) this.#whole.deltas += 1;
      this.#lastSave = this.#now();
      this.#savedStep = step;
      const removed = await this.#letGo(checkpoint);
      return { checkpoint, trigger, stallMs, times, writtenBytes, removed };
    };
    const done = write();
    this.#writing = done.catch(() => {
      if (run.log.best?.checkpoint === name) run.log.best = { ...run.log.best, checkpoint: null };
    });
    void done.then((event) => this.#options.onSaved?.(event)).catch(() => undefined);
    return { done };
  }

  /** What the next difference is made to; null when the next one is stored whole. */
  async #deltaBase(): Promise<StoredCheckpoint | null> {
    if (this.#whole === null || this.#whole.deltas >= DELTAS_PER_WHOLE) return null;
    return this.#options.store.open(this.#whole.id).catch(() => null);
  }

  /** A name that the run has not used; a damaged checkpoint keeps its own. */
  async #freeName(wanted: string): Promise<string> {
    const names = await this.#names;
    let name = wanted;
    for (let copy = 2; names.has(name); copy++) name = `${wanted}-${String(copy)}`;
    return name;
  }

  /** Carries out the policy, once the newer one is known to be good. A failure here takes nothing from the save. */
  async #letGo(saved: CheckpointRecord): Promise<readonly CheckpointRecord[]> {
    const { store, policy } = this.#options;
    if (!isVerified(saved)) return [];
    try {
      const rolled = saved.trigger === 'rolling' ? await this.#removeRolled(saved) : [];
      const { remove } = await store.prune(saved.runId, policy.retention);
      return [...rolled, ...remove.map(({ checkpoint }) => checkpoint)];
    } catch (error) {
      this.#options.onFailed?.(toErrorFields(error), 'rolling');
      return [];
    }
  }

  /** The rolling checkpoints before this one go for good: one alone is kept. */
  async #removeRolled(saved: CheckpointRecord): Promise<CheckpointRecord[]> {
    const { store } = this.#options;
    const { items } = await store.list({ runId: saved.runId, trigger: 'rolling', pinned: false, limit: 1e6 });
    const gone: CheckpointRecord[] = [];
    for (const old of items.filter(({ id }) => id !== saved.id)) {
      try {
        await store.remove([old.id], { forGood: true });
        gone.push(old);
      } catch (error) {
        // What protects it (a delta that rests on it, say) keeps it; the next round tries again.
        if (!(error instanceof StudioError && error.code === 'CHECKPOINT_PROTECTED')) throw error;
      }
    }
    if (gone.length > 0) await store.collectGarbage();
    return gone;
  }
}

async function namesOf(store: CheckpointStore, runId: string): Promise<Set<string>> {
  const { items } = await store.list({ runId, limit: 1e6 });
  return new Set(items.map(({ name }) => name));
}
