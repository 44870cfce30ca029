import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../workers/api.ts';
import {
  applyEvent,
  canDownload,
  comparedSamples,
  hasAdapter,
  lossColumns,
  NO_RUN,
  recentSpeed,
  secondsLeft,
  smooth,
  type StepMetrics,
} from './run-view.ts';

function metric(step: number, loss: number, evalLoss?: number): StepMetrics {
  const rest = { epoch: 0, lr: 1e-3, gradNorm: 1, tokens: 80, trainedTokens: 40, tokensPerSecond: 40 };
  const common = { step, loss, seconds: step * 2, memoryBytes: 1000, ...rest };
  return evalLoss === undefined ? common : { ...common, evalLoss };
}

const memory = { weights: 1, adapter: 1, activations: 1, total: 3, trainable: 5, parameters: 50, steps: 10 };
const sample = (step: number, text: string): RunEvent => ({
  type: 'sample',
  step,
  prompt: 'p',
  text,
  done: true,
});
const events: RunEvent[] = [
  { type: 'state', state: 'preparing' },
  { type: 'plan', steps: 10, memory },
  { type: 'evaluation', step: 0, loss: 4 },
  sample(0, 'base'),
  { type: 'state', state: 'running' },
  { type: 'metrics', metrics: [metric(1, 3), metric(2, 2, 2.5)] },
  sample(2, 'par'),
  sample(2, 'partly'),
];
const running = events.reduce(applyEvent, NO_RUN);

describe('applyEvent', () => {
  it('mirrors what the worker says', () => {
    expect(running).toMatchObject({ state: 'running', steps: 10, memory, error: null });
    expect(running.metrics.map(({ step }) => step)).toEqual([1, 2]);
    expect(running.evaluations).toEqual([
      { step: 0, loss: 4 },
      { step: 2, loss: 2.5 },
    ]);
    expect(running.samples.map(({ text }) => text)).toEqual(['base', 'partly']);
  });

  it('ends with an error', () => {
    const error = { code: 'LOSS_NOT_FINITE', message: 'm', fix: 'f' } as const;
    const failed = applyEvent(running, { type: 'error', error });
    expect(failed).toMatchObject({ state: 'failed', error });
    expect(hasAdapter(failed)).toBe(false);
  });
});

it('offers the adapter of a run that is held or over', () => {
  expect(canDownload(running)).toBe(false);
  expect(canDownload(applyEvent(running, { type: 'state', state: 'paused' }))).toBe(true);
  expect(canDownload(applyEvent(running, { type: 'state', state: 'stopped' }))).toBe(true);
  expect(canDownload(applyEvent(NO_RUN, { type: 'state', state: 'paused' }))).toBe(false);
});

describe('figures of a run', () => {
  it('compares the samples before, during and after', () => {
    expect(comparedSamples(running)).toMatchObject({
      before: { text: 'base' },
      during: { text: 'partly' },
      after: null,
    });
    const over = [sample(10, 'full'), { type: 'state', state: 'done' } as const].reduce(applyEvent, running);
    expect(hasAdapter(over)).toBe(true);
    expect(comparedSamples(over)).toMatchObject({ during: { text: 'partly' }, after: { text: 'full' } });
  });

  it('measures the speed over the time of several steps, not over their rates', () => {
    const fast = { ...metric(3, 1), tokens: 80, tokensPerSecond: 80 };
    // Two steps of 2 s and one of 1 s, 80 tokens each.
    expect(recentSpeed(applyEvent(running, { type: 'metrics', metrics: [fast] }))).toBe(48);
    expect(recentSpeed(NO_RUN)).toBeNull();
  });

  it('foresees the end at the recent pace', () => {
    expect(secondsLeft(running)).toBe(16);
    expect(secondsLeft(NO_RUN)).toBeNull();
  });

  it('smooths without a start at zero', () => {
    expect(smooth([3, 3, 3]).map((value) => value.toFixed(6))).toEqual(['3.000000', '3.000000', '3.000000']);
    expect(smooth([1, 0])[1]).toBeCloseTo(0.16 / 0.36, 12);
  });

  it('lines the series up by step', () => {
    const [steps, raw, smoothed, evaluation] = lossColumns(running);
    expect(steps).toEqual([0, 1, 2]);
    expect(raw).toEqual([null, 3, 2]);
    expect(smoothed[0]).toBeNull();
    expect(smoothed[1]).toBeCloseTo(3, 12);
    expect(evaluation).toEqual([4, null, 2.5]);
  });
});
