import { expect, it } from 'vitest';
import { runStatus } from './run-status.ts';
import { NO_RUN, type RunView, type StepMetrics } from './run-view.ts';

function after(steps: number, state: RunView['state']): RunView {
  const metric: StepMetrics = {
    step: 1,
    epoch: 0,
    loss: 1,
    lr: 1,
    gradNorm: 1,
    tokens: 1,
    trainedTokens: 1,
    seconds: 1,
    tokensPerSecond: 1,
    memoryBytes: 1,
  };
  const metrics = Array.from({ length: steps }, (_, index) => ({ ...metric, step: index + 1 }));
  return { ...NO_RUN, state, steps: 60, metrics };
}

it('says the same thing between two milestones', () => {
  const texts = Array.from({ length: 60 }, (_, steps) => runStatus(after(steps, 'running')));
  expect(new Set(texts).size).toBe(10);
  expect(texts[59]).toBe('Training: 90% done.');
});

it('says at once that a pause was asked for', () => {
  expect(runStatus({ ...after(6, 'running'), pausing: true })).toMatch(/^Pausing/);
});

it('names the last evaluation', () => {
  const run = { ...after(6, 'running'), evaluations: [{ step: 0, loss: 2.6372 }] };
  expect(runStatus(run)).toBe('Training: 10% done, evaluation loss 2.64.');
});

it('has a sentence of its own for every state', () => {
  const states = ['idle', 'preparing', 'running', 'paused', 'stopping', 'done', 'stopped', 'failed'] as const;
  expect(new Set(states.map((state) => runStatus(after(6, state)))).size).toBe(states.length);
  expect(runStatus(after(6, 'stopped'))).toBe('Stopped after step 6 of 60.');
});
