import { expect, it } from 'vitest';
import { createLimiter } from './limiter.ts';

it('keeps to the limit, in order, and goes on after failures', async () => {
  const limiter = createLimiter(3);
  let running = 0;
  let most = 0;
  const order: number[] = [];
  const work = (i: number) => async () => {
    order.push(i);
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 1));
    running -= 1;
    if (i === 2) throw new Error('no');
    return i;
  };
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => limiter.run(work(i))));
  expect(most).toBe(3);
  expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(1);
});

it('lets what is heavier than the limit run alone', async () => {
  const limiter = createLimiter(10);
  const log: string[] = [];
  const work = (name: string) => async () => {
    log.push(`${name} starts`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    log.push(`${name} ends`);
  };
  await Promise.all([limiter.run(work('a'), 6), limiter.run(work('big'), 50), limiter.run(work('b'), 6)]);
  expect(log).toEqual(['a starts', 'a ends', 'big starts', 'big ends', 'b starts', 'b ends']);
});
