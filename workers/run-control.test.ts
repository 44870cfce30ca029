import { describe, expect, it } from 'vitest';
import type { RunState } from './api.ts';
import { RunControl } from './run-control.ts';

/** A run of so many steps; gives what was said and how many steps were taken. */
function runOf(steps: number): {
  control: RunControl;
  said: RunState[];
  taken: () => number;
  over: Promise<void>;
} {
  const said: RunState[] = [];
  const control = new RunControl((state) => said.push(state));
  let taken = 0;
  const loop = async (): Promise<void> => {
    for (let step = 1; step <= steps; step++) {
      await control.gate();
      if (control.signal.aborted) break;
      taken = step;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    control.end();
  };
  return { control, said, taken: () => taken, over: loop() };
}

describe('RunControl', () => {
  it('holds the run before a step and lets it go on', async () => {
    const run = runOf(5);
    await run.control.pause();
    const held = run.taken();
    expect(held).toBeLessThan(5);
    expect(run.said).toEqual(['paused']);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(run.taken()).toBe(held);
    run.control.resume();
    await run.over;
    expect(run.taken()).toBe(5);
    expect(run.said).toEqual(['paused', 'running']);
  });

  it('ends a held run', async () => {
    const run = runOf(5);
    await run.control.pause();
    run.control.stop();
    await run.over;
    expect(run.taken()).toBeLessThan(5);
    expect(run.said).toEqual(['paused', 'stopping']);
  });

  it('says nothing of a pause that is taken back before it is reached', async () => {
    const run = runOf(3);
    const paused = run.control.pause();
    run.control.resume();
    await Promise.all([paused, run.over]);
    expect(run.taken()).toBe(3);
    expect(run.said).toEqual([]);
  });

  it('keeps nobody waiting when the run is over', async () => {
    const run = runOf(1);
    const paused = run.control.pause();
    await Promise.all([run.over, paused]);
    await run.control.pause();
    run.control.stop();
    expect(run.control.signal.aborted).toBe(false);
    expect(run.said).toEqual([]);
  });
});
