/**
 * One poll for all samples of a session: retrieve_futures tells which of them are done, and only those are then asked for.
 * Used where the server's config says so; what goes wrong here sends everybody back to asking for each one.
 */
import { backoffSeconds, sleep } from '../backoff.ts';
import type { Timing } from './timing.ts';
import { LostConnection, type Transport } from './transport.ts';
import { reader } from './wire-read.ts';

export interface SessionFuturesOptions {
  transport: Transport;
  timing: Timing;
  signal: AbortSignal;
  samplerId: string;
  /** Which of the clients of one session this is; 0 is the one that opened it. */
  clone: number;
}

export interface SessionFutures {
  /** Resolves when the request is done, failed or not, or when it has to be asked for by itself. */
  done(requestId: string): Promise<void>;
}

/** Results that came before anybody asked for them; the oldest are forgotten, and asked for by themselves. */
const MAX_EARLY = 4096;
const MAX_FAILURES = 5;

export function createSessionFutures(o: SessionFuturesOptions): SessionFutures {
  const { transport, timing, signal } = o;
  const waiting = new Map<string, () => void>();
  const early = new Set<string>();
  let cursor = 0;
  let polling = false;
  /** The route is not there, or fails again and again. */
  let useless = false;

  const tell = (requestId: string): void => {
    const resolve = waiting.get(requestId);
    if (resolve === undefined) {
      early.add(requestId);
      const [oldest] = early;
      if (early.size > MAX_EARLY && oldest !== undefined) early.delete(oldest);
      return;
    }
    waiting.delete(requestId);
    resolve();
  };

  const ask = async (): Promise<void> => {
    const reply = await transport.send({
      method: 'POST',
      path: 'retrieve_futures',
      json: {
        target: {
          type: 'sampling_session',
          sampling_session_id: o.samplerId,
          cloned_sampler_id: o.clone,
        },
        prev_cursor: cursor,
      },
      timeoutSeconds: timing.pollSeconds,
      signal,
    });
    if (reply.status !== 200)
      throw new LostConnection(`retrieve_futures: ${String(reply.status)}.`, true, null);
    const r = reader(reply.body, 'retrieve_futures');
    for (const completion of r.list('completions'))
      tell(reader(completion, 'retrieve_futures').text('request_id'));
    cursor = r.optionalNumber('cursor') ?? cursor;
  };

  const poll = async (): Promise<void> => {
    let failures = 0;
    while (waiting.size > 0) {
      const from = Date.now();
      try {
        await ask();
        failures = 0;
        const rest = timing.minPollGap * 1000 - (Date.now() - from);
        if (rest > 0) await sleep(rest / 1000, signal);
      } catch {
        // No answer within a poll's time is how long polls may end.
        if (!signal.aborted && Date.now() - from >= timing.pollSeconds * 990) continue;
        if (signal.aborted || ++failures >= MAX_FAILURES) {
          useless = true;
          for (const id of waiting.keys()) tell(id);
          return;
        }
        const backoff = { first: timing.firstBackoff, most: timing.maxBackoff };
        await sleep(backoffSeconds(failures - 1, backoff), signal).catch(() => undefined);
      }
    }
  };

  return {
    done: (requestId) => {
      if (useless || early.delete(requestId)) return Promise.resolve();
      const done = new Promise<void>((resolve) => waiting.set(requestId, resolve));
      if (!polling) {
        polling = true;
        void poll().finally(() => {
          polling = false;
        });
      }
      return done;
    },
  };
}
