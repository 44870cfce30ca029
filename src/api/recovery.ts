/**
 * Goes on after a failure: a lost device, a run that the server calls corrupted, a loss that is no number. The loop is
 * started again from a checkpoint, on a new client, as often as the policy allows.
 */
import { backoffSeconds, sleep } from './backoff.ts';
import { APIStatusError, BadRequestError } from './errors.ts';
import { createLimiter, type Limiter } from './limiter.ts';
import { sortCheckpoints } from './list-order.ts';
import { CheckpointNotFoundError, DeviceLostError } from './own-errors.ts';
import type { TrainingClient } from './training-client.ts';
import type { Checkpoint } from './types.ts';
import { StudioError } from '../errors.ts';

export interface RecoveryPolicy {
  enabled: boolean;
  maxAttempts: number;
  /** Shortest and longest wait before an attempt. */
  backoffSeconds: readonly [first: number, most: number];
  /** How often the run's `corrupted` flag is looked at; 0 is never. */
  pollSeconds: number;
  checkpointStrategy: 'latest' | 'best' | { path: string };
  /** For `best`: the metric and its direction. */
  best: { metric: string; mode: 'min' | 'max' };
  restoreOptimizer: boolean;
}

export const DEFAULT_RECOVERY: RecoveryPolicy = {
  enabled: true,
  maxAttempts: 3,
  backoffSeconds: [5, 60],
  pollSeconds: 30,
  checkpointStrategy: 'latest',
  best: { metric: 'loss', mode: 'min' },
  restoreOptimizer: true,
};

export interface RecoveryCallbacks {
  onDetected?(failure: { error: unknown; runId: string; attempt: number }): void;
  onRestored?(restored: { path: string; fromStep: number; lostSteps: number }): void;
  onGaveUp?(error: unknown): void;
}

/** What the caller trains. It goes on from `client.loopState`; the signal says that the run is lost. */
export type TrainingLoop<T> = (client: TrainingClient, signal: AbortSignal) => Promise<T>;

/** Throw it from a loop when the loss or gradient is no number; recovery takes it for a failed step. */
export class NonFiniteLossError extends StudioError {
  constructor(step: number, value: number) {
    super({
      code: 'LOSS_NOT_FINITE',
      message: `The loss of step ${String(step)} is ${String(value)}.`,
      fix: 'Use a lower learning rate.',
    });
    this.name = 'NonFiniteLossError';
  }
}

/** Whether starting again from a checkpoint can help. */
export function isRecoverable(error: unknown): boolean {
  if (error instanceof DeviceLostError || error instanceof NonFiniteLossError) return true;
  if (error instanceof APIStatusError && error.status === 410) return true;
  const message = error instanceof Error ? error.message : '';
  // A server that was started again, or has cleared the model away, knows the checkpoint and not the model.
  return (
    /Model \S+ not loaded|Model not found/.test(message) ||
    (error instanceof StudioError && error.code === 'GPU_LOST')
  );
}

const metricOf = ({ metrics, metadata }: Checkpoint, name: string): number => {
  const kept = metadata?.['metrics'] as Record<string, unknown> | undefined;
  const value = metrics?.[name] ?? kept?.[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : NaN;
};

/** The checkpoint that a strategy names, among complete training checkpoints. Of equals the earlier is best. */
export function chooseCheckpoint(
  rows: readonly Checkpoint[],
  policy: Pick<RecoveryPolicy, 'checkpointStrategy' | 'best'>,
): Checkpoint | null {
  const usable = sortCheckpoints(
    rows.filter((row) => row.checkpointType === 'training' && row.state === 'complete'),
  );
  const { checkpointStrategy: strategy, best } = policy;
  if (typeof strategy === 'object') return usable.find(({ path }) => path === strategy.path) ?? null;
  if (strategy === 'latest') return usable.at(-1) ?? null;
  const sign = best.mode === 'min' ? 1 : -1;
  let found: Checkpoint | null = null;
  for (const row of usable) {
    const value = sign * metricOf(row, best.metric);
    if (Number.isNaN(value)) continue;
    if (found === null || value < sign * metricOf(found, best.metric)) found = row;
  }
  // Without any figure the newest is the best that is known.
  return found ?? usable.at(-1) ?? null;
}

/** Runs loops under a policy; at most `maxConcurrent` restorations at once, whatever the number of runs. */
export class RecoveryExecutor {
  readonly #policy: RecoveryPolicy;
  readonly #callbacks: RecoveryCallbacks;
  readonly #restoring: Limiter;

  constructor(
    policy: Partial<RecoveryPolicy> = {},
    callbacks: RecoveryCallbacks = {},
    options: { maxConcurrent?: number } = {},
  ) {
    this.#policy = { ...DEFAULT_RECOVERY, ...policy };
    const {
      maxAttempts,
      backoffSeconds: [first, most],
    } = this.#policy;
    if (!Number.isInteger(maxAttempts) || maxAttempts < 0 || !(first >= 0 && most >= first)) {
      throw new BadRequestError({ message: 'The recovery policy has attempts or waits that are none.' });
    }
    this.#callbacks = callbacks;
    this.#restoring = createLimiter(options.maxConcurrent ?? 2);
  }

  /** Resolves with the loop's result. Throws the last error where it gives up. */
  async run<T>(client: TrainingClient, loop: TrainingLoop<T>): Promise<T> {
    const runIds = [client.runId];
    let current = client;
    for (let attempt = 0; ; attempt++) {
      const watch = this.#watch(current);
      try {
        return await Promise.race([loop(current, watch.signal), watch.lost]);
      } catch (error) {
        const { enabled, maxAttempts } = this.#policy;
        if (!enabled || !isRecoverable(error)) throw error;
        this.#callbacks.onDetected?.({ error, runId: current.runId, attempt });
        if (attempt >= maxAttempts) {
          this.#callbacks.onGaveUp?.(error);
          throw error;
        }
        const former = current;
        watch.end(error);
        current = await this.#restoring.run(() => this.#restore(former, runIds, attempt, error));
        runIds.unshift(current.runId);
      } finally {
        watch.end();
      }
    }
  }

  async #restore(
    former: TrainingClient,
    runIds: readonly string[],
    attempt: number,
    cause: unknown,
  ): Promise<TrainingClient> {
    const [first, most] = this.#policy.backoffSeconds;
    await sleep(backoffSeconds(attempt, { first, most }));
    const { host } = former;
    // The device or the server's model is gone: nothing waits for it.
    await Promise.race([former.dispose().catch(() => undefined), sleep(5)]);
    const chosen = await this.#choose(former, runIds);
    if (chosen === null) {
      this.#callbacks.onGaveUp?.(cause);
      throw new CheckpointNotFoundError({
        message: `The run ${former.runId} has no checkpoint to go on from.`,
        cause,
      });
    }
    const restored = await host.openFromState(chosen.path, { optimizer: this.#policy.restoreOptimizer });
    const fromStep = chosen.step ?? restored.step;
    // Without its loop state the loop still has to know where it is.
    if (restored.loopState === null && chosen.step !== undefined) restored.loopState = { step: chosen.step };
    this.#callbacks.onRestored?.({
      path: chosen.path,
      fromStep,
      lostSteps: Math.max(0, former.step - fromStep),
    });
    return restored;
  }

  async #choose(former: TrainingClient, runIds: readonly string[]): Promise<Checkpoint | null> {
    const strategy = this.#policy.checkpointStrategy;
    // A run that was restored before may have saved nothing yet; then the one before it has.
    for (const runId of runIds) {
      const rows = await former.host.backend.registry.listCheckpoints(runId).catch((): Checkpoint[] => []);
      const chosen = chooseCheckpoint(rows, this.#policy);
      if (chosen !== null) return chosen;
    }
    return typeof strategy === 'object' ? ({ path: strategy.path } as Checkpoint) : null;
  }

  /** Looks at the run's `corrupted` flag while the loop works. */
  #watch(client: TrainingClient): {
    signal: AbortSignal;
    lost: Promise<never>;
    end: (reason?: unknown) => void;
  } {
    const stop = new AbortController();
    const { pollSeconds, enabled } = this.#policy;
    const lost = new Promise<never>((_, reject) => {
      if (!enabled || pollSeconds <= 0) return;
      const look = async (): Promise<void> => {
        while (!stop.signal.aborted) {
          await sleep(pollSeconds, stop.signal);
          const run = await client.host.backend.registry
            .getTrainingRun(client.runId, 'owned')
            .catch(() => null);
          if (run?.corrupted === true) {
            const error = new DeviceLostError({
              message: `The server says that the run ${client.runId} is corrupted.`,
            });
            reject(error);
            stop.abort(error);
          }
        }
      };
      look().catch(() => undefined);
    });
    lost.catch(() => undefined);
    return {
      signal: stop.signal,
      lost,
      end: (reason) => {
        if (!stop.signal.aborted) stop.abort(reason);
      },
    };
  }
}
