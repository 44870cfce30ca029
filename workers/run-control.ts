/** Lets the page hold and end a run: the run asks at its gate before every step. */
import type { RunState } from './api.ts';
import { deferred } from './queue.ts';

interface Pause {
  /** The run stands at its gate, or is over. */
  reached: ReturnType<typeof deferred>;
  /** The run may go on. */
  over: ReturnType<typeof deferred>;
}

export class RunControl {
  readonly #say: (state: RunState) => void;
  readonly #abort = new AbortController();
  #pause: Pause | null = null;
  #ended = false;

  /** `say` hears of every change of state. */
  constructor(say: (state: RunState) => void) {
    this.#say = say;
  }

  /** Aborted by `stop`. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Whether the run is to hold before its next step. */
  get pausing(): boolean {
    return this.#pause !== null;
  }

  /** Asks the run to hold; resolves when it does, or when it is over. */
  async pause(): Promise<void> {
    if (this.#ended || this.signal.aborted) return;
    this.#pause ??= { reached: deferred(), over: deferred() };
    await this.#pause.reached.promise;
  }

  /** Lets a held run go on. */
  resume(): void {
    const pause = this.#pause;
    this.#pause = null;
    pause?.reached.resolve();
    pause?.over.resolve();
  }

  /** Asks the run to end after the step under way. */
  stop(): void {
    if (this.#ended || this.signal.aborted) return;
    this.#say('stopping');
    this.#abort.abort();
    this.resume();
  }

  /** Where the run waits while it is held. */
  async gate(): Promise<void> {
    const pause = this.#pause;
    if (pause === null) return;
    this.#say('paused');
    pause.reached.resolve();
    await pause.over.promise;
    if (!this.signal.aborted) this.#say('running');
  }

  /** The run is over: nothing is said any more, and nobody waits. */
  end(): void {
    this.#ended = true;
    this.resume();
  }
}
