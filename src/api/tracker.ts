/** Writes parameters, metrics and checkpoint paths somewhere else. A tracker that fails never fails training or a save. */
import type { WarningSink } from './warnings.ts';

export interface TrackedCheckpoint {
  name: string;
  step: number;
  path: string;
  samplerPath: string | null;
}

/** How long something took, in milliseconds since 1970. */
export interface TrackedSpan {
  name: string;
  start: number;
  end: number;
  step?: number;
}

export interface Tracker {
  params?(params: Readonly<Record<string, unknown>>): void | Promise<void>;
  metrics?(step: number, metrics: Readonly<Record<string, number>>): void | Promise<void>;
  checkpoint?(checkpoint: TrackedCheckpoint): void | Promise<void>;
  span?(span: TrackedSpan): void | Promise<void>;
}

export interface Trackers {
  params(params: Readonly<Record<string, unknown>>): void;
  metrics(step: number, metrics: Readonly<Record<string, number>>): void;
  checkpoint(checkpoint: TrackedCheckpoint): void;
  span(span: TrackedSpan): void;
}

/** All trackers as one; what one of them throws becomes a warning, once. */
export function createTrackers(trackers: readonly Tracker[], warnings: WarningSink): Trackers {
  const tell = (call: (tracker: Tracker) => void | Promise<void>): void => {
    for (const [i, tracker] of trackers.entries()) {
      const failed = (error: unknown): void => {
        const message = `A tracker failed: ${error instanceof Error ? error.message : String(error)}`;
        warnings.once({ code: 'TRACKER_FAILED', message }, String(i));
      };
      try {
        Promise.resolve(call(tracker)).catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  };
  return {
    params: (params) => tell((tracker) => tracker.params?.(params)),
    metrics: (step, metrics) => tell((tracker) => tracker.metrics?.(step, metrics)),
    checkpoint: (checkpoint) => tell((tracker) => tracker.checkpoint?.(checkpoint)),
    span: (span) => tell((tracker) => tracker.span?.(span)),
  };
}

export interface MlflowOptions {
  trackingUri: string;
  experimentId?: string;
  runName?: string;
  token?: string;
  fetch?: typeof globalThis.fetch;
  now?: () => number;
}

/** MLflow over its REST interface: a run is made at the first entry; checkpoint paths become tags. */
export function mlflow(o: MlflowOptions): Tracker {
  const send = o.fetch ?? globalThis.fetch.bind(globalThis);
  const now = o.now ?? Date.now;
  const post = async (route: string, body: unknown): Promise<unknown> => {
    const response = await send(`${o.trackingUri.replace(/\/+$/, '')}/api/2.0/mlflow/runs/${route}`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        ...(o.token === undefined ? {} : { Authorization: `Bearer ${o.token}` }),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    if (!response.ok) throw new Error(`MLflow answered ${String(response.status)} to ${route}.`);
    return response.json();
  };
  let run: Promise<string> | null = null;
  const runId = (): Promise<string> =>
    (run ??= post('create', {
      experiment_id: o.experimentId ?? '0',
      run_name: o.runName ?? 'lorikeet',
      start_time: now(),
    }).then((body) => (body as { run: { info: { run_id: string } } }).run.info.run_id));
  return {
    params: async (params) => {
      const list = Object.entries(params).map(([key, value]) => ({ key, value: String(value) }));
      await post('log-batch', { run_id: await runId(), params: list });
    },
    metrics: async (step, metrics) => {
      const list = Object.entries(metrics).map(([key, value]) => ({ key, value, step, timestamp: now() }));
      if (list.length > 0) await post('log-batch', { run_id: await runId(), metrics: list });
    },
    checkpoint: async ({ name, path }) => {
      await post('set-tag', { run_id: await runId(), key: `checkpoint.${name}`, value: path });
    },
  };
}
