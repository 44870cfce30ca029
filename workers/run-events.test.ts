import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StepMetrics } from '../src/engine/index.ts';
import type { RunEvent } from './api.ts';
import { RunEvents } from './run-events.ts';

function metric(step: number): StepMetrics {
  const rest = { gradNorm: 1, tokens: 8, trainedTokens: 4, tokensPerSecond: 8, memoryBytes: 1 };
  return { step, epoch: step / 4, loss: 1 / step, lr: 1e-3, seconds: step, ...rest };
}

const sample = (text: string, done: boolean): RunEvent => ({
  type: 'sample',
  step: 2,
  prompt: 'Hello?',
  text,
  done,
});

describe('RunEvents', () => {
  let sent: RunEvent[] = [];
  let events = new RunEvents((event) => sent.push(event));

  beforeEach(() => {
    vi.useFakeTimers();
    sent = [];
    events = new RunEvents((event) => sent.push(event));
    events.push({ type: 'state', state: 'running' });
    sent = [];
  });
  afterEach(() => vi.useRealTimers());

  it('puts the steps of a tenth of a second together', () => {
    for (const step of [1, 2, 3]) events.push({ type: 'metrics', metrics: [metric(step)] });
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(sent).toEqual([{ type: 'metrics', metrics: [metric(1), metric(2), metric(3)] }]);
  });

  it('sends at most ten batches a second', () => {
    for (let step = 1; step <= 200; step++) {
      events.push({ type: 'metrics', metrics: [metric(step)] });
      vi.advanceTimersByTime(5);
    }
    expect(sent.length).toBeLessThanOrEqual(10);
    events.flush();
    expect(sent.flatMap((event) => (event.type === 'metrics' ? event.metrics : [])).length).toBe(200);
  });

  it('sends a change of state at once, after what came before it', () => {
    events.push({ type: 'metrics', metrics: [metric(1)] });
    events.push({ type: 'state', state: 'paused' });
    expect(sent.map(({ type }) => type)).toEqual(['metrics', 'state']);
  });

  it('sends the latest of a text that grows', () => {
    for (const text of ['A', 'Arr', 'Arr, matey!']) events.push(sample(text, false));
    events.push(sample('Arr, matey! Yo ho ho!', true));
    events.push({ type: 'metrics', metrics: [metric(2)] });
    events.push(sample('later', false));
    events.flush();
    expect(sent).toEqual([
      sample('Arr, matey! Yo ho ho!', true),
      { type: 'metrics', metrics: [metric(2)] },
      sample('later', false),
    ]);
  });
});
