import { describe, expect, it } from 'vitest';
import { scheduleFactor, type Schedule } from '../engine/index.ts';
import { fitSchedule, type ScheduleFacts } from './fit-schedule.ts';

const PEAK = 2e-4;

/** What a Trainer's files say at a step of a schedule; `back` 1 logs the rate of the step, 0 that of the next. */
function facts(schedule: Schedule, step: number, logEvery = 1, back = 1): ScheduleFacts {
  const rate = (index: number): number => PEAK * scheduleFactor(schedule, index);
  const steps = Array.from({ length: step }, (_, i) => i + 1).filter((at) => at % logEvery === 0);
  return {
    optimizerStep: step,
    maxSteps: schedule.totalSteps,
    learningRate: rate(step),
    peakLearningRate: PEAK,
    log: steps.map((at) => ({ step: at, learning_rate: rate(at - back) })),
  };
}

describe('fitSchedule', () => {
  it('finds each schedule again, with its warm-up, in both ways of logging', () => {
    for (const name of ['constant', 'linear', 'cosine'] as const) {
      for (const warmupSteps of [0, 3, 10]) {
        const schedule: Schedule = { name, warmupSteps, totalSteps: 100 };
        for (const back of [0, 1]) expect(fitSchedule(facts(schedule, 40, 1, back))).toEqual(schedule);
        expect(fitSchedule(facts(schedule, 40, 7))).toMatchObject({ name });
      }
    }
  });

  it('takes a long run with few logged steps', () => {
    const schedule: Schedule = { name: 'cosine', warmupSteps: 123, totalSteps: 20_000 };
    expect(fitSchedule(facts(schedule, 9000, 500))).toEqual(schedule);
  });

  it('does not guess: within the warm-up all go on differently', () => {
    const schedule: Schedule = { name: 'linear', warmupSteps: 10, totalSteps: 100 };
    expect(fitSchedule(facts(schedule, 5))).toBeNull();
    expect(fitSchedule({ ...facts(schedule, 40), learningRate: PEAK * 0.123 })).toBeNull();
    expect(fitSchedule({ ...facts(schedule, 40), log: [{ step: 20, learning_rate: 1e-9 }] })).toBeNull();
  });

  it('needs no log where the rate alone decides', () => {
    const schedule: Schedule = { name: 'constant', warmupSteps: 0, totalSteps: 100 };
    expect(fitSchedule({ ...facts(schedule, 40), log: [{ step: 1, loss: 2 }] })).toBeNull();
    expect(fitSchedule({ ...facts(schedule, 99), log: [] })).toEqual(schedule);
  });
});
