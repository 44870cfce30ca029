/** Work that must not overlap, in the order in which it was asked for. */
export class Queue {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when all earlier work is over; the function it gives ends this turn and lets the next one begin. */
  async enter(): Promise<() => void> {
    const { promise, resolve } = deferred();
    const before = this.#last;
    this.#last = before.then(() => promise);
    await before;
    return resolve;
  }

  /** Runs the work in its turn. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.enter();
    try {
      return await work();
    } finally {
      leave();
    }
  }
}

/** A promise with the function that resolves it. */
export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
