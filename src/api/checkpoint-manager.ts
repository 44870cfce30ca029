/**
 * Saves while a loop trains, and really deletes what its rules let go: save, see it listed, and only then delete. One
 * class for what the family's cookbooks, Bios's example and trlX's options do.
 */
import { BadRequestError } from './errors.ts';
import { createFuture, type ApiFuture } from './future.ts';
import { sortCheckpoints } from './list-order.ts';
import {
  AdaptiveInterval,
  bestUnits,
  nameOf,
  periodicName,
  planArchive,
  planRetention,
  unitsOf,
  type AdaptiveRule,
  type BestRule,
  type ManagedUnit,
  type Retention,
} from './manager-policy.ts';
import { CheckpointExistsError, UnsupportedFeatureError } from './own-errors.ts';
import { parseCheckpointPath } from './paths.ts';
import type { ManagedCheckpoint, ManagerOptions, Progress } from './manager-options.ts';
import {
  archiveUnits,
  checkPromotion,
  finiteMetrics,
  oldEnough,
  promoteFinal,
  removeUnits,
  verifyListed,
  whole,
} from './manager-store.ts';
import { createTrackers, type Trackers } from './tracker.ts';
import type { TrainingClient } from './training-client.ts';
import type { Checkpoint, LoopState, Metadata } from './types.ts';

type Metrics = Readonly<Record<string, number>>;

export class CheckpointManager {
  readonly #client: TrainingClient;
  readonly #o: ManagerOptions;
  readonly #every: number;
  readonly #max: number | null;
  readonly #best: BestRule | null;
  readonly #adaptive: AdaptiveInterval | null;
  readonly #trackers: Trackers;
  readonly #now: () => number;
  readonly #pinned = new Set<string>();
  /** Metrics by name of the unit: what servers do not keep. */
  readonly #metrics = new Map<string, Metrics>();
  readonly #background = new Set<Promise<unknown>>();
  #lastStep = 0;
  #lastTokens = 0;
  #lastEpoch = 0;
  #lastTime: number;
  #bestValues: number[] = [];
  #rolling = 0;

  constructor(client: TrainingClient, options: ManagerOptions = {}) {
    const {
      saveEvery,
      checkpointInterval,
      dcpSaveInterval,
      maxCheckpoints = 5,
      saveBest,
      adaptive,
    } = options;
    checkPromotion(options);
    if (options.archiveTo !== undefined) {
      oldEnough(options.archiveTo, 0, 0);
      client.host.cold.attach(options.archiveTo.store);
    }
    this.#client = client;
    this.#o = options;
    this.#every = whole('saveEvery', saveEvery ?? checkpointInterval ?? dcpSaveInterval ?? 20, 0);
    this.#max = maxCheckpoints === null ? null : whole('maxCheckpoints', maxCheckpoints, 1);
    whole('keepEvery', options.keepEvery ?? 0, 0);
    whole('rollingSaveEvery', options.rollingSaveEvery ?? 0, 0);
    this.#best =
      saveBest === undefined ? null : { ...saveBest, keep: whole('saveBest.keep', saveBest.keep ?? 1, 1) };
    const rule: AdaptiveRule | null =
      adaptive === undefined
        ? null
        : {
            minEvery: whole('adaptive.minEvery', adaptive.minEvery, 1),
            zThreshold: adaptive.zThreshold ?? 3,
          };
    this.#adaptive = rule === null ? null : new AdaptiveInterval(this.#every, rule);
    this.#trackers = createTrackers(options.trackers ?? [], client.host.warnings);
    this.#now = options.now ?? Date.now;
    this.#lastTime = this.#now();
  }

  /** Whether this step is one to save at. `step` counts completed optimizer steps; step 0 never saves. */
  shouldSavePeriodic(step: number, progress: Progress = {}): boolean {
    if (whole('step', step, 0) === 0) return false;
    const { saveEveryTokens, saveEverySeconds, saveEveryEpochs } = this.#o;
    const every = this.#adaptive?.interval ?? this.#every;
    if (every > 0 && (this.#adaptive === null ? step % every === 0 : step - this.#lastStep >= every))
      return true;
    if (saveEveryTokens !== undefined && (progress.tokens ?? 0) - this.#lastTokens >= saveEveryTokens)
      return true;
    if (saveEveryEpochs !== undefined && (progress.epoch ?? 0) - this.#lastEpoch >= saveEveryEpochs)
      return true;
    return saveEverySeconds !== undefined && this.#now() - this.#lastTime >= saveEverySeconds * 1000;
  }

  /** Periodic, best and rolling in one call, after each step. Gives what was saved. */
  maybeSave(step: number, progress: Progress = {}): ApiFuture<ManagedCheckpoint | null> {
    return createFuture(async () => {
      const metrics = progress.metrics ?? {};
      const { loss } = metrics;
      if (loss !== undefined) this.#adaptive?.observe(loss);
      this.#trackers.metrics(step, metrics);
      const due = this.shouldSavePeriodic(step, progress);
      const better = step > 0 && this.#isBetter(metrics);
      if (due || better) {
        this.#mark(step, progress);
        const saving = this.#savePeriodic(periodicName(step), step, metrics);
        if (due && !better && this.#o.asyncPeriodicSaves === true) {
          this.#keepInBackground(saving);
          await this.maybeSaveRolling(step);
          return null;
        }
        const saved = await saving;
        await this.maybeSaveRolling(step);
        return saved;
      }
      await this.maybeSaveRolling(step);
      return null;
    });
  }

  /** Saves now under the step's name, and applies the rules. */
  savePeriodic(step: number, progress: Progress = {}): ApiFuture<ManagedCheckpoint> {
    return createFuture(() => {
      this.#mark(step, progress);
      return this.#savePeriodic(periodicName(whole('step', step, 0)), step, progress.metrics ?? {});
    });
  }

  /** Saves now under `auto_checkpoint_<step>`, and applies the rules. */
  saveCheckpoint(step: number, progress: Progress = {}): ApiFuture<ManagedCheckpoint> {
    return createFuture(() =>
      this.#savePeriodic(`auto_checkpoint_${String(whole('step', step, 0))}`, step, progress.metrics ?? {}),
    );
  }

  /** Renews the rolling state where it is time; the former one is deleted when the new one is listed. */
  maybeSaveRolling(step: number): ApiFuture<string | null> {
    return createFuture(async () => {
      const every = this.#o.rollingSaveEvery ?? 0;
      if (every === 0 || step === 0 || step % every !== 0) return null;
      const { registry } = this.#client.host.backend;
      const former = unitsOf(
        await registry.listCheckpoints(this.#client.runId).catch((): Checkpoint[] => []),
      ).filter(({ role }) => role === 'rolling');
      this.#rolling = Math.max(this.#rolling, ...former.map(({ name }) => Number(name.slice(8)))) + 1;
      const { rollingTtlSeconds = 7200, metadata, loopState } = this.#o;
      const saved = await this.#client.saveState(`rolling-${String(this.#rolling)}`, {
        ttlSeconds: rollingTtlSeconds,
        metadata: { ...metadata?.(step), rolling: true },
        loopState: { ...(loopState?.() ?? this.#client.loopState ?? { step }), step },
      });
      await verifyListed(this.#client, [saved.path]);
      await removeUnits(this.#client, former);
      return saved.path;
    });
  }

  /** Saves under `final`, without a time to live; the rolling state is no longer needed then. */
  saveFinal(step: number, progress: Progress = {}): ApiFuture<ManagedCheckpoint> {
    return createFuture(async () => {
      await this.finalize();
      const saved = await this.#save('final', step, progress.metrics ?? {}, null);
      const rows = await this.#client.host.backend.registry.listCheckpoints(this.#client.runId);
      await removeUnits(
        this.#client,
        unitsOf(rows).filter(({ role }) => role === 'rolling'),
      );
      return promoteFinal(this.#client, this.#o, saved);
    });
  }

  /** Waits for saves in the background. Throws what one of them threw. */
  finalize(): ApiFuture<void> {
    return createFuture(async () => {
      const outcomes = await Promise.allSettled(this.#background);
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) throw failed.reason as Error;
    });
  }

  /** After a resume: counts tokens from those of the checkpoint. */
  restoreLastSavedTokens(): void {
    const { loopState } = this.#client;
    this.#lastTokens = loopState?.tokensSeen ?? 0;
    this.#lastStep = loopState?.step ?? 0;
    this.#lastEpoch = loopState?.epoch ?? 0;
  }

  /** The newest state that is whole, or null. */
  getLatestCheckpoint(): ApiFuture<ManagedCheckpoint | null> {
    return createFuture(async () => {
      const states = await this.#states();
      const last = states.at(-1);
      return last === undefined ? null : this.#describe(last, states);
    });
  }

  /** The best state by the metric; null where none has it. */
  getBestCheckpoint(metric?: string): ApiFuture<ManagedCheckpoint | null> {
    return createFuture(async () => {
      const rule = metric === undefined ? this.#best : { metric, mode: this.#best?.mode ?? 'min', keep: 1 };
      if (rule === null)
        throw new BadRequestError({
          message: 'There is no metric to choose by.',
          fix: 'Name one, or set saveBest.',
        });
      const states = await this.#states();
      const units = states.map((row): ManagedUnit => ({
        name: nameOf(row),
        step: row.step ?? 0,
        role: 'periodic',
        rows: [row],
        bytes: 0,
      }));
      const [best] = bestUnits(units, { ...rule, keep: 1 }, (unit) => this.#metricOf(unit, rule.metric));
      const row = best?.rows[0];
      return row === undefined ? null : this.#describe(row, states);
    });
  }

  /** Loads the newest whole state, with its optimizer, into the client. Null where there is none. */
  resumeLatest(): ApiFuture<ManagedCheckpoint | null> {
    return createFuture(async () => {
      const latest = await this.getLatestCheckpoint();
      if (latest === null) return null;
      const { loopState } = await this.#client.loadStateWithOptimizer(latest.path);
      this.restoreLastSavedTokens();
      return { ...latest, loopState: loopState ?? latest.loopState };
    });
  }

  /** What the rules would delete now, and the bytes that frees. */
  preview(): ApiFuture<Retention> {
    return createFuture(async () =>
      this.#plan(await this.#client.host.backend.registry.listCheckpoints(this.#client.runId)),
    );
  }

  /** Keeps a checkpoint whatever the rules say. */
  pin(path: string): ApiFuture<void> {
    return createFuture(() => this.#setPinned(path, true));
  }

  unpin(path: string): ApiFuture<void> {
    return createFuture(() => this.#setPinned(path, false));
  }

  async #setPinned(path: string, pinned: boolean): Promise<void> {
    const parsed = parseCheckpointPath(path, { currentRun: this.#client.runId });
    await this.#client.host.backend.registry.setPinned(parsed, pinned).catch((error: unknown) => {
      // Servers keep no pins: they are kept here, for as long as the manager lives.
      if (!(error instanceof UnsupportedFeatureError)) throw error;
    });
    if (pinned) this.#pinned.add(parsed.path);
    else this.#pinned.delete(parsed.path);
  }

  #mark(step: number, { tokens, epoch }: Progress): void {
    this.#lastStep = step;
    this.#lastTokens = tokens ?? this.#lastTokens;
    this.#lastEpoch = epoch ?? this.#lastEpoch;
    this.#lastTime = this.#now();
  }

  /** Ties keep the earlier; NaN never wins. */
  #isBetter(metrics: Metrics): boolean {
    if (this.#best === null) return false;
    const value = metrics[this.#best.metric];
    if (value === undefined || !Number.isFinite(value)) return false;
    const signed = this.#best.mode === 'min' ? value : -value;
    const worst = this.#bestValues.at(-1);
    if (this.#bestValues.length >= this.#best.keep && worst !== undefined && signed >= worst) return false;
    this.#bestValues = [...this.#bestValues, signed].sort((a, b) => a - b).slice(0, this.#best.keep);
    return true;
  }

  #keepInBackground(saving: Promise<unknown>): void {
    this.#background.add(saving);
    saving.then(
      () => this.#background.delete(saving),
      () => undefined,
    );
  }

  async #savePeriodic(name: string, step: number, metrics: Metrics): Promise<ManagedCheckpoint> {
    const saved = await this.#save(name, step, metrics, this.#o.periodicTtlSeconds ?? null);
    const { remove, archive = [] } = this.#plan(
      await this.#client.host.backend.registry.listCheckpoints(this.#client.runId),
    );
    await archiveUnits(this.#client, archive);
    await removeUnits(this.#client, remove);
    return saved;
  }

  /** Saves both kinds at this turn, waits until they are listed, and only then counts them. */
  async #save(
    wanted: string,
    step: number,
    metrics: Metrics,
    ttlSeconds: number | null,
  ): Promise<ManagedCheckpoint> {
    const client = this.#client;
    const { kind = 'both', metadata, loopState } = this.#o;
    const state: LoopState = { ...(loopState?.() ?? client.loopState ?? { step }), step };
    const all: Metadata = { ...metadata?.(step), ...finiteMetrics(metrics) };
    const start = this.#now();
    for (let i = 1; ; i++) {
      // A run that was resumed from an older checkpoint comes by the same steps again.
      const name = i === 1 ? wanted : `${wanted}-${String(i)}`;
      const saving =
        kind === 'sampler' ? null : client.saveState(name, { ttlSeconds, metadata: all, loopState: state });
      const sampling = kind === 'state' ? null : client.saveWeightsForSampler(name, { ttlSeconds });
      const [stateOutcome, samplerOutcome] = await Promise.allSettled([
        Promise.resolve(saving),
        Promise.resolve(sampling),
      ]);
      const failed = [stateOutcome, samplerOutcome].find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) {
        if (failed.reason instanceof CheckpointExistsError && i < 100) continue;
        throw failed.reason as Error;
      }
      const statePath = stateOutcome.status === 'fulfilled' ? (stateOutcome.value?.path ?? null) : null;
      const samplerPath = samplerOutcome.status === 'fulfilled' ? (samplerOutcome.value?.path ?? null) : null;
      const path = statePath ?? samplerPath ?? '';
      await verifyListed(
        this.#client,
        [statePath, samplerPath].flatMap((p) => p ?? []),
      );
      this.#metrics.set(name, metrics);
      const saved = {
        name,
        step,
        path,
        metadata: all,
        loopState: state,
        metrics: { ...metrics },
        samplerPath,
      };
      this.#trackers.checkpoint(saved);
      this.#trackers.span({ name: 'save_checkpoint', start, end: this.#now(), step });
      return saved;
    }
  }

  #plan(rows: readonly Checkpoint[]): Retention {
    const rule = { maxCheckpoints: this.#max, keepEvery: this.#o.keepEvery ?? 0, best: this.#best };
    const plan = planRetention(unitsOf(rows), rule, this.#pinned, (unit) =>
      this.#metricOf(unit, this.#best?.metric ?? ''),
    );
    const { archiveTo } = this.#o;
    if (archiveTo === undefined) return plan;
    return planArchive(plan, this.#pinned, oldEnough(archiveTo, this.#lastStep, this.#now()));
  }

  #metricOf({ name, rows }: ManagedUnit, metric: string): number {
    const kept = rows.find((row) => row.metadata !== undefined)?.metadata?.['metrics'] as Metrics | undefined;
    const measured = rows.find((row) => row.metrics !== undefined)?.metrics;
    return this.#metrics.get(name)?.[metric] ?? measured?.[metric] ?? kept?.[metric] ?? NaN;
  }

  async #states(): Promise<Checkpoint[]> {
    const { backend, cold } = this.#client.host;
    const { runId } = this.#client;
    const hot = await backend.registry.listCheckpoints(runId).catch((): Checkpoint[] => []);
    const rows = await cold.merged(runId, hot);
    return sortCheckpoints(
      rows.filter((row) => row.checkpointType === 'training' && row.state === 'complete'),
    );
  }

  #describe(row: Checkpoint, rows: readonly Checkpoint[]): ManagedCheckpoint {
    const name = nameOf(row);
    const kept = (row.metadata?.['metrics'] as Metrics | undefined) ?? {};
    const sampler = rows.find((r) => r.checkpointType === 'sampler' && nameOf(r) === name);
    return {
      name,
      step: row.step ?? 0,
      path: row.path,
      metadata: row.metadata ?? null,
      loopState: row.step === undefined ? null : { step: row.step },
      metrics: { ...(this.#metrics.get(name) ?? row.metrics ?? kept) },
      samplerPath: sampler?.path ?? null,
    };
  }
}
