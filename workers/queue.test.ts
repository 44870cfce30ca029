import { describe, expect, it } from 'vitest';
import { deferred, Queue } from './queue.ts';

describe('Queue', () => {
  it('runs work in order and one at a time', async () => {
    const queue = new Queue();
    const log: string[] = [];
    const gate = deferred();
    const first = queue.run(async () => {
      log.push('a begins');
      await gate.promise;
      log.push('a ends');
      return 1;
    });
    const second = queue.run(() => {
      log.push('b');
      return Promise.resolve(2);
    });
    await Promise.resolve();
    expect(log).not.toContain('b');
    gate.resolve();
    expect(await Promise.all([first, second])).toEqual([1, 2]);
    expect(log).toEqual(['a begins', 'a ends', 'b']);
  });

  it('goes on after work that failed', async () => {
    const queue = new Queue();
    const failed = queue.run(() => Promise.reject(new Error('no')));
    const next = queue.run(() => Promise.resolve('yes'));
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });

  it('lets others in between two turns of the same work', async () => {
    const queue = new Queue();
    const log: string[] = [];
    const leave = await queue.enter();
    log.push('step 1');
    const question = queue.run(() => Promise.resolve(log.push('answer')));
    leave();
    const leaveAgain = await queue.enter();
    log.push('step 2');
    leaveAgain();
    await question;
    expect(log).toEqual(['step 1', 'answer', 'step 2']);
  });
});
