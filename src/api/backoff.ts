/** Waiting between attempts: longer each time, with jitter so that many clients do not come back at once. */

export interface Backoff {
  /** Seconds of the first wait. */
  first: number;
  /** Seconds that no wait exceeds. */
  most: number;
}

/** Seconds to wait after the n-th failure, n from 0: doubled each time, between half of that and all of it. */
export function backoffSeconds(
  failure: number,
  { first, most }: Backoff,
  random: () => number = Math.random,
): number {
  const full = Math.min(most, first * 2 ** Math.min(failure, 30));
  return full * (0.5 + 0.5 * random());
}

/** Waits, or rejects with the signal's reason at once. */
export function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      },
      Math.min(seconds * 1000, 2 ** 31 - 1),
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
