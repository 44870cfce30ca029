import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { APIConnectionError } from './errors.ts';
import { ClientClosedError, QueueFullError } from './own-errors.ts';
import { createTurnQueue, type ReservedTurns } from './turn-queue.ts';

const noState = (): void => undefined;

function makeQueue(maxWaiting = 100, first = 1) {
  const skipped: number[] = [];
  const queue = createTurnQueue({ first, maxWaiting, skip: (ids) => skipped.push(...ids) });
  const sentInOrder: number[] = [];
  const send = (ms: number) => async (turns: ReservedTurns) => {
    const used = turns.seqIds.map((_, i) => turns.use(i).seqId);
    sentInOrder.push(...used);
    await new Promise((resolve) => setTimeout(resolve, ms));
    return used;
  };
  return { queue, skipped, sentInOrder, send };
}

describe('turns', () => {
  it('are given out at the call, in order, without gaps, and sent in that order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 2 }))),
        async (calls) => {
          const { queue, sentInOrder, send, skipped } = makeQueue();
          const results = calls.map(([count, ms]) => queue.enqueue(count, send(ms), noState));
          const total = calls.reduce((sum, [count]) => sum + count, 0);
          const all = Array.from({ length: total }, (_, i) => i + 1);
          expect(results.flatMap(({ seqIds }) => seqIds)).toEqual(all);
          await Promise.all(results.map(({ sent }) => sent));
          expect(sentInOrder).toEqual(all);
          expect(skipped).toEqual([]);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('goes on after a call that failed, and gives back the turns that it did not use', async () => {
    const { queue, skipped, send } = makeQueue(100, 5);
    const first = queue.enqueue(
      3,
      async (turns) => {
        turns.use(0);
        throw new Error('no');
      },
      noState,
    );
    const second = queue.enqueue(1, send(0), noState);
    await expect(first.sent).rejects.toThrow('no');
    expect(await second.sent).toEqual([8]);
    expect(skipped).toEqual([6, 7]);
  });

  it('does not make each of the waiting calls find out that the server is gone', async () => {
    const { queue, skipped, sentInOrder, send } = makeQueue(20_000);
    const gone = queue.enqueue(
      1,
      async (turns) => {
        turns.use(0);
        throw new APIConnectionError({ message: 'gone' });
      },
      noState,
    );
    const waiting = Array.from({ length: 10_000 }, () => queue.enqueue(1, send(50), noState));
    const outcomes = await Promise.allSettled([gone.sent, ...waiting.map(({ sent }) => sent)]);
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(sentInOrder).toEqual([]);
    expect(skipped).toHaveLength(10_000);
    const later = queue.enqueue(1, send(0), noState);
    expect(await later.sent).toEqual([10_002]);
  });

  it('refuses more calls than it keeps, before a turn is taken', async () => {
    const { queue, send } = makeQueue(2);
    const first = [queue.enqueue(1, send(1), noState), queue.enqueue(1, send(1), noState)];
    expect(() => queue.enqueue(1, send(1), noState)).toThrow(QueueFullError);
    await Promise.all(first.map(({ sent }) => sent));
    const later = queue.enqueue(1, send(0), noState);
    expect(later.seqIds).toEqual([3]);
    await later.sent;
  });

  it('rejects what waits once it is closed', async () => {
    const { queue, send } = makeQueue();
    const running = queue.enqueue(1, send(10), noState);
    await Promise.resolve();
    await Promise.resolve();
    const waiting = queue.enqueue(1, send(1), noState);
    waiting.sent.catch(() => undefined);
    queue.close(() => new ClientClosedError({ message: 'closed' }));
    await expect(waiting.sent).rejects.toBeInstanceOf(ClientClosedError);
    expect(await running.sent).toEqual([1]);
    expect(() => queue.enqueue(1, send(1), noState)).toThrow(ClientClosedError);
    await queue.idle();
  });
});
