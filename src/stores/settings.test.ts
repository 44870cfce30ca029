import { describe, expect, it } from 'vitest';
import { DEFAULT_FINETUNE, DEFAULT_LORA } from '../engine/train/types.ts';
import {
  countSteps,
  dataOptions,
  INITIAL_SETTINGS,
  readNumbers,
  suggestedNumbers,
  toRunRequest,
} from './settings.ts';

const data = { trainRows: 144, samplePrompt: 'What does the fox eat?' };

describe('suggested settings', () => {
  it('are those of the engine for a model of the person', () => {
    const values = suggestedNumbers('files');
    const request = toRunRequest(INITIAL_SETTINGS, values, data);
    expect(request.training).toEqual({ ...DEFAULT_FINETUNE, evalEvery: 10 });
    const { rank, alpha, dropout, rslora } = DEFAULT_LORA;
    expect(request.lora).toEqual({ rank, alpha, dropout, rslora, targets: 'all-linear' });
  });

  it('train the embedded model longer and faster', () => {
    const values = suggestedNumbers('embedded');
    const request = toRunRequest(INITIAL_SETTINGS, values, data);
    expect(request.training).toMatchObject({ learningRate: 4e-3, epochs: 3, steps: null });
    expect(countSteps(INITIAL_SETTINGS, values, data.trainRows)).toBe(54);
    expect(request.sampleEvery).toBe(11);
    expect(dataOptions(values)).toEqual({ maxLength: 512, evalSplit: 0.1, seed: 0 });
  });
});

describe('readNumbers', () => {
  const suggested = suggestedNumbers('embedded');

  it('takes what was typed and leaves the rest', () => {
    const { values, problems } = readNumbers({ rank: ' 16 ', learningRate: '5e-4' }, suggested);
    expect(problems).toEqual({});
    expect(values).toEqual({ ...suggested, rank: 16, learningRate: 5e-4 });
  });

  it.each([
    ['rank', ''],
    ['rank', 'eight'],
    ['rank', '0'],
    ['rank', '1.5'],
    ['rank', '257'],
    ['learningRate', '0'],
    ['learningRate', 'Infinity'],
    ['alpha', '-1'],
    ['evalPercent', '51'],
    ['steps', '-3'],
  ] as const)('refuses %s = %j with a sentence', (name, text) => {
    const { values, problems } = readNumbers({ [name]: text }, suggested);
    expect(problems[name]).toMatch(/\.$/);
    expect(values).toEqual(suggested);
  });

  it('lets a rate through that is far too high: the run itself reports what comes of it', () => {
    expect(readNumbers({ learningRate: '1e9' }, suggested).values.learningRate).toBe(1e9);
  });
});

describe('toRunRequest', () => {
  it('goes by steps and asks the prompt that was typed', () => {
    const settings = { ...INITIAL_SETTINGS, lengthBy: 'steps', samplePrompt: 'Hello?' } as const;
    const request = toRunRequest(settings, { ...suggestedNumbers('embedded'), steps: 3 }, data);
    expect(request.training.steps).toBe(3);
    expect(request.sampleEvery).toBe(1);
    expect(request.samplePrompt).toBe('Hello?');
  });
});
