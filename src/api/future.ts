/**
 * Results to come. A future is a promise that also names its request, its turns, when it was accepted, and how the queue
 * stands. Giving up on it, by time or signal, ends the waiting and never the work.
 */
import { APITimeoutError, BadRequestError } from './errors.ts';
import type { QueueState } from './types.ts';

export interface WaitOptions {
  /** Seconds; without it the wait has no end. */
  timeout?: number;
  /** Ends the waiting; the work goes on. */
  signal?: AbortSignal;
}

export interface ApiFuture<T> extends Promise<T> {
  /** Known once the request was accepted; of the first part where a call is sent in several. */
  readonly requestId: string | null;
  /** One for each part that the call is sent in; empty for calls outside the order of training. */
  readonly seqIds: readonly number[];
  /** Settles when the engine or server has taken the whole call. */
  readonly submitted: Promise<void>;
  /** The result, waited for within limits. Throws APITimeoutError; the future itself stays as it is. */
  result(options?: WaitOptions): Promise<T>;
  onQueueState(callback: (state: QueueState, reason?: string) => void): this;
}

export interface FutureControl {
  accepted(requestId: string | null): void;
  queueState(state: QueueState, reason?: string): void;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/** Throws BadRequestError for a time that is none. */
function checkTimeout(timeout: number | undefined): void {
  if (timeout === undefined || (typeof timeout === 'number' && timeout >= 0)) return;
  throw new BadRequestError({
    message: `timeout is ${String(timeout)}; it must be a number of seconds from 0.`,
  });
}

/** Waits for work within limits. The work is not touched. */
export function waitFor<T>(
  work: Promise<T>,
  options: WaitOptions,
  requestId: () => string | null,
): Promise<T> {
  const { timeout, signal } = options;
  checkTimeout(timeout);
  if ((timeout === undefined || timeout === Infinity) && signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      end();
      const reason: unknown = signal?.reason;
      reject(reason instanceof Error ? reason : new DOMException('The wait was ended.', 'AbortError'));
    };
    work.then(
      (value) => {
        end();
        resolve(value);
      },
      (error: unknown) => {
        end();
        reject(error as Error);
      },
    );
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    signal?.addEventListener('abort', onAbort);
    if (timeout !== undefined && timeout !== Infinity) {
      const expired = (): void => {
        end();
        const message = `There was no result within ${String(timeout)} s.`;
        reject(new APITimeoutError({ message, requestId: requestId() }));
      };
      timer = setTimeout(expired, Math.min(timeout * 1000, MAX_TIMER_MS));
    }
  });
}

/**
 * Starts work at once and gives its future. `work` is called synchronously, so that it can take its turn; when it throws
 * or rejects, the future rejects. An unobserved rejection does not end the program: whoever awaits the future gets it,
 * and the next optimStep tells of it.
 */
export function createFuture<T>(
  work: (control: FutureControl) => Promise<T>,
  options: WaitOptions & { seqIds?: readonly number[] } = {},
): ApiFuture<T> {
  let requestId: string | null = null;
  let settleSubmitted: (error?: unknown) => void = () => undefined;
  const submitted = new Promise<void>((resolve, reject) => {
    settleSubmitted = (error) => {
      if (error === undefined) resolve();
      else reject(error as Error);
    };
  });
  const listeners: ((state: QueueState, reason?: string) => void)[] = [];
  const control: FutureControl = {
    accepted: (id) => {
      requestId ??= id;
      settleSubmitted();
    },
    queueState: (state, reason) => {
      for (const listener of listeners) listener(state, reason);
    },
  };
  let running: Promise<T>;
  try {
    checkTimeout(options.timeout);
    running = work(control);
  } catch (error) {
    running = Promise.reject(error as Error);
  }
  running.then(
    () => {
      settleSubmitted();
    },
    (error: unknown) => {
      settleSubmitted(error);
    },
  );
  const wait: WaitOptions = {};
  if (options.timeout !== undefined) wait.timeout = options.timeout;
  if (options.signal !== undefined) wait.signal = options.signal;
  let outer: Promise<T>;
  try {
    outer = waitFor(running, wait, () => requestId);
  } catch (error) {
    outer = Promise.reject(error as Error);
  }
  // A promise of its own, as its properties must not end up on a promise that somebody else holds.
  const promise = outer.then((value) => value);
  promise.catch(() => undefined);
  submitted.catch(() => undefined);
  const future = Object.defineProperties(promise, {
    requestId: { get: () => requestId, enumerable: true },
    seqIds: { value: Object.freeze([...(options.seqIds ?? [])]), enumerable: true },
    submitted: { value: submitted },
    result: { value: (o: WaitOptions = {}) => waitOrReject(running, o, () => requestId) },
    onQueueState: {
      value: (callback: (state: QueueState, reason?: string) => void) => {
        listeners.push(callback);
        return future;
      },
    },
  }) as ApiFuture<T>;
  return future;
}

function waitOrReject<T>(work: Promise<T>, options: WaitOptions, requestId: () => string | null): Promise<T> {
  try {
    return waitFor(work, options, requestId);
  } catch (error) {
    return Promise.reject(error as Error);
  }
}
