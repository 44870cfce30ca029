/**
 * Turns of one client: numbers given out synchronously, in the order of the calls and without gaps, and requests sent in
 * that order. A request is sent when the one before was accepted, not when it is done.
 */
import type { Turn } from './backend.ts';
import { APIConnectionError, APITimeoutError } from './errors.ts';
import { QueueFullError } from './own-errors.ts';
import type { QueueState } from './types.ts';

/** The turns of one call. One that is not used by the end is given back as skipped. */
export interface ReservedTurns {
  readonly seqIds: readonly number[];
  /** The i-th turn, marked as used; `first` where it begins what is sent together. */
  use(index: number, first?: boolean): Turn;
}

export interface TurnQueue {
  /**
   * Reserves turns and runs `send` when it is its time. `send` settles when everything was accepted or refused.
   * Throws QueueFullError, before any turn is taken.
   */
  enqueue<T>(
    count: number,
    send: (turns: ReservedTurns) => Promise<T>,
    onQueueState: (state: QueueState, reason?: string) => void,
  ): { seqIds: readonly number[]; sent: Promise<T> };
  /** Calls that wait for their turn. */
  readonly waiting: number;
  /** Rejects what waits and all that come, with the error. */
  close(error: () => Error): void;
  /** Settles when nothing is on its way any more. */
  idle(): Promise<void>;
}

interface Entry {
  run(): Promise<void>;
  fail(error: Error): void;
}

export interface TurnQueueOptions {
  first: number;
  maxWaiting: number;
  skip(seqIds: readonly number[]): void;
}

/**
 * When the server is gone, what was called before cannot be sent either: no call waits out its own time limit then. An
 * answer that was lost on the way, which is not tried again, says nothing of the kind.
 */
export const meansServerGone = (error: unknown): boolean =>
  error instanceof APIConnectionError && !(error instanceof APITimeoutError) && error.retryable;

export function createTurnQueue(options: TurnQueueOptions): TurnQueue {
  let next = options.first;
  let closed: (() => Error) | null = null;
  const entries: Entry[] = [];
  // Null while nothing runs. Set back in the very step that finds no entry: a call that comes right after starts anew.
  let working: Promise<void> | null = null;

  const work = async (): Promise<void> => {
    for (;;) {
      const entry = entries.shift();
      if (entry === undefined) {
        working = null;
        return;
      }
      await entry.run();
    }
  };

  const failWaiting = (error: Error): void => {
    for (const entry of entries.splice(0)) entry.fail(error);
  };

  return {
    get waiting() {
      return entries.length;
    },
    enqueue: (count, send, onQueueState) => {
      if (closed !== null) throw closed();
      if (entries.length >= options.maxWaiting) {
        throw new QueueFullError({
          message: `${String(entries.length)} calls wait already, the most that a client keeps.`,
        });
      }
      const seqIds = Array.from({ length: count }, () => next++);
      const used = new Set<number>();
      const turns: ReservedTurns = {
        seqIds,
        use: (index, first = index === 0) => {
          const seqId = seqIds[index];
          if (seqId === undefined)
            throw new RangeError(`There is no turn ${String(index)} of ${String(count)}.`);
          used.add(seqId);
          return { seqId, first, onQueueState };
        },
      };
      const giveBack = (): void => {
        const unused = seqIds.filter((seqId) => !used.has(seqId));
        if (unused.length > 0) options.skip(unused);
      };
      const sent = new Promise<Awaited<ReturnType<typeof send>>>((resolve, reject) => {
        entries.push({
          run: async () => {
            try {
              resolve(await send(turns));
            } catch (error) {
              reject(error as Error);
              if (meansServerGone(error)) failWaiting(error as Error);
            } finally {
              giveBack();
            }
          },
          fail: (error) => {
            reject(error);
            giveBack();
          },
        });
      });
      // Started in a microtask of its own, so that a call never runs inside another call.
      working ??= Promise.resolve().then(work);
      return { seqIds, sent };
    },
    close: (error) => {
      closed = error;
      failWaiting(error());
    },
    idle: async () => {
      while (working !== null) await working;
    },
  };
}
