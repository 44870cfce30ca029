/** Sends what a run tells to the page: at most ten batches a second, in order, changes of state at once. */
import type { RunEvent } from './api.ts';

const INTERVAL_MS = 100;

export class RunEvents {
  readonly #send: (event: RunEvent) => void;
  #pending: RunEvent[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastSent = -INTERVAL_MS;

  constructor(send: (event: RunEvent) => void) {
    this.#send = send;
  }

  /** Queues an event; steps are put together, and of a text or a progress that grows only the latest is sent. */
  push(event: RunEvent): void {
    const last = this.#pending.at(-1);
    const merged = last === undefined ? null : merge(last, event);
    if (merged === null) this.#pending.push(event);
    else this.#pending[this.#pending.length - 1] = merged;
    if (event.type === 'state' || event.type === 'error') this.flush();
    else {
      const wait = this.#lastSent + INTERVAL_MS - performance.now();
      this.#timer ??= setTimeout(() => this.flush(), Math.max(0, wait));
    }
  }

  /** Sends what is queued now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastSent = performance.now();
    const events = this.#pending;
    this.#pending = [];
    for (const event of events) this.#send(event);
  }
}

/** One event in place of two, where nothing is lost by it. */
function merge(last: RunEvent, next: RunEvent): RunEvent | null {
  if (last.type === 'metrics' && next.type === 'metrics')
    return { type: 'metrics', metrics: [...last.metrics, ...next.metrics] };
  if (last.type === 'progress' && next.type === 'progress') return next;
  if (last.type === 'sample' && next.type === 'sample' && last.step === next.step) return next;
  return null;
}
