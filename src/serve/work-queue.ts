/** The one queue before the GPU: work starts in the order in which it came, a few pieces at a time. */

export interface WorkQueue {
  /** Runs the work in its turn, and settles as it does. */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** Pieces that run or wait. */
  readonly length: number;
}

export function createWorkQueue(running: number): WorkQueue {
  const waiting: (() => void)[] = [];
  let free = running;
  let length = 0;
  const release = (): void => {
    length -= 1;
    const next = waiting.shift();
    if (next === undefined) free += 1;
    else next();
  };
  return {
    get length() {
      return length;
    },
    run: async (work) => {
      length += 1;
      if (free > 0) free -= 1;
      else await new Promise<void>((start) => waiting.push(start));
      try {
        return await work();
      } finally {
        release();
      }
    },
  };
}
