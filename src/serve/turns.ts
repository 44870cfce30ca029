/**
 * The order of a model's requests. Each has a number; one that comes early is held until those before it are there, for a
 * while. The same number with the same content is the same request; with another content it is refused.
 */
import { HttpFailure } from './failure.ts';
import type { ServeLimits } from './options.ts';

/** A request that has its number and waits for its turn. */
export interface TurnEntry {
  requestId: string;
  /** Called once, in order. */
  start(): void;
  /** Called instead, where a request before it never came. */
  giveUp(reason: Error): void;
}

export interface Turns {
  /** The request that took this number with this content before; null where the number is free. Throws 409. */
  known(seqId: number, print: string): string | null;
  /** Whether a request waits for this one, or would. */
  isNext(seqId: number): boolean;
  /** Throws 429 where too many are held already. */
  room(seqId: number): void;
  /** `start` may run before this returns. */
  add(seqId: number, print: string, entry: TurnEntry): void;
  /** Uses the number up, for a request that was refused: those behind it do not wait. */
  skip(seqId: number): void;
  /** Gives up all that are held. */
  close(reason: Error): void;
}

/** Numbers that are remembered behind the present one, for requests that come again. */
const REMEMBERED = 4096;

export function createTurns(
  limits: Pick<ServeLimits, 'gapSeconds' | 'maxHeld'>,
  first: number,
  name: string,
): Turns {
  let next = first;
  let timer: NodeJS.Timeout | null = null;
  const held = new Map<number, TurnEntry>();
  const skipped = new Set<number>();
  const seen = new Map<number, { print: string; requestId: string }>();

  const giveUpAll = (reason: Error): void => {
    const waiting = [...held];
    held.clear();
    for (const [seqId, entry] of waiting) {
      skipped.add(seqId);
      entry.giveUp(reason);
    }
  };
  const watch = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (held.size === 0) return;
    timer = setTimeout(() => {
      giveUpAll(
        new HttpFailure(
          400,
          `Request ${String(next)} of ${name} did not come within ${String(limits.gapSeconds)} s, so those behind it were given up.`,
        ),
      );
    }, limits.gapSeconds * 1000);
    timer.unref();
  };
  const advance = (): void => {
    for (;;) {
      const entry = held.get(next);
      if (entry === undefined && !skipped.delete(next)) break;
      held.delete(next);
      seen.delete(next - REMEMBERED);
      next += 1;
      entry?.start();
    }
    watch();
  };

  return {
    known: (seqId, print) => {
      const before = seen.get(seqId);
      if (before !== undefined) {
        if (before.print === print) return before.requestId;
        throw new HttpFailure(
          409,
          `Request ${String(seqId)} of ${name} was sent before with another content.`,
        );
      }
      if (seqId < first)
        throw new HttpFailure(
          400,
          `The numbers of ${name} begin with ${String(first)}; this one is ${String(seqId)}.`,
        );
      if (seqId < next || skipped.has(seqId))
        throw new HttpFailure(
          409,
          `Request ${String(seqId)} of ${name} was sent before; the next is ${String(next)}.`,
        );
      if (seqId > next + limits.maxHeld)
        throw new HttpFailure(
          400,
          `Request ${String(seqId)} of ${name} is too far ahead; the next is ${String(next)}.`,
        );
      return null;
    },
    isNext: (seqId) => seqId === next,
    room: (seqId) => {
      if (seqId === next || held.size < limits.maxHeld) return;
      throw new HttpFailure(
        429,
        `${String(held.size)} requests of ${name} wait for number ${String(next)}.`,
        {
          'Retry-After': '1',
        },
      );
    },
    add: (seqId, print, entry) => {
      seen.set(seqId, { print, requestId: entry.requestId });
      held.set(seqId, entry);
      advance();
    },
    skip: (seqId) => {
      if (seqId < next || held.has(seqId)) return;
      skipped.add(seqId);
      advance();
    },
    close: (reason) => {
      giveUpAll(reason);
      watch();
    },
  };
}
