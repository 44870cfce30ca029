/** Ctrl-C: the first asks the work to end properly, the second ends the program. */

export interface Interrupt {
  signal: AbortSignal;
  /** Back to the usual meaning of the signals. */
  release(): void;
}

/** Listens for SIGINT and SIGTERM; `onFirst` tells the person what happens now. */
export function onInterrupt(onFirst: () => void): Interrupt {
  const controller = new AbortController();
  const listener = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
    onFirst();
  };
  process.on('SIGINT', listener);
  process.on('SIGTERM', listener);
  return {
    signal: controller.signal,
    release: () => {
      process.off('SIGINT', listener);
      process.off('SIGTERM', listener);
    },
  };
}
