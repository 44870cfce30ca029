/** At most so much at once; the rest waits in the order in which it came. */

export interface Limiter {
  /** Runs the work when there is room for its weight; one heavier than the limit runs alone. */
  run<T>(work: () => Promise<T>, weight?: number): Promise<T>;
}

export function createLimiter(limit: number): Limiter {
  let inUse = 0;
  const waiting: { weight: number; start: () => void }[] = [];
  const fits = (weight: number): boolean => inUse === 0 || inUse + weight <= limit;
  const admit = (): void => {
    for (;;) {
      const [next] = waiting;
      if (next === undefined || !fits(next.weight)) return;
      waiting.shift();
      inUse += next.weight;
      next.start();
    }
  };
  return {
    run: async (work, weight = 1) => {
      if (waiting.length === 0 && fits(weight)) inUse += weight;
      else await new Promise<void>((start) => waiting.push({ weight, start }));
      try {
        return await work();
      } finally {
        inUse -= weight;
        admit();
      }
    },
  };
}
