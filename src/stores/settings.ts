/** The settings of a run as the page keeps them: which numbers there are, their limits, and what is suggested. */
import type { DataOptions, RunRequest } from '../../workers/api.ts';
import type { ResumePlan, SavePolicy } from '../../workers/checkpoints-api.ts';
import { t } from '../i18n/index.ts';
import type { ModelSource } from './model-store.ts';

interface NumberRule {
  min: number;
  max: number;
  whole: boolean;
  /** The least value itself is not allowed. */
  above?: true;
}

const ANY = Number.MAX_VALUE;

/** The limits of every number; `evalPercent` is the share of rows kept for evaluation. */
export const NUMBER_RULES = {
  rank: { min: 1, max: 256, whole: true },
  alpha: { min: 0, max: ANY, whole: false, above: true },
  dropout: { min: 0, max: 0.9, whole: false },
  learningRate: { min: 0, max: ANY, whole: false, above: true },
  epochs: { min: 1, max: 10_000, whole: true },
  steps: { min: 1, max: 10_000_000, whole: true },
  batchSize: { min: 1, max: 1024, whole: true },
  gradAccumulation: { min: 1, max: 1024, whole: true },
  maxLength: { min: 8, max: 131_072, whole: true },
  warmupSteps: { min: 0, max: 1_000_000, whole: true },
  weightDecay: { min: 0, max: 100, whole: false },
  gradClip: { min: 0, max: ANY, whole: false },
  evalPercent: { min: 0, max: 50, whole: false },
  evalEvery: { min: 0, max: 1_000_000, whole: true },
  seed: { min: 0, max: 4_294_967_295, whole: true },
  saveEvery: { min: 0, max: 1_000_000, whole: true },
  saveMinutes: { min: 0, max: 100_000, whole: false },
  keepLatest: { min: 1, max: 10_000, whole: true },
  keepEvery: { min: 0, max: 1_000_000, whole: true },
} as const satisfies Record<string, NumberRule>;

export type NumberName = keyof typeof NUMBER_RULES;
export type NumberValues = Record<NumberName, number>;

export interface Settings {
  /** What was typed, where it differs from what is suggested. */
  typed: Partial<Record<NumberName, string>>;
  lengthBy: 'epochs' | 'steps';
  schedule: RunRequest['training']['schedule'];
  shuffle: boolean;
  rslora: boolean;
  targets: RunRequest['lora']['targets'];
  /** Number format of the downloaded adapter. */
  adapterDtype: 'F32' | 'BF16';
  /** What was typed as the sample prompt; null takes the data set's own. */
  samplePrompt: string | null;
  /** Keep checkpoints of the run in the browser. */
  save: boolean;
  saveBest: boolean;
  /** Store adapters as differences where that is smaller. */
  delta: boolean;
}

export const INITIAL_SETTINGS: Settings = {
  typed: {},
  lengthBy: 'epochs',
  schedule: 'constant',
  shuffle: true,
  rslora: false,
  targets: 'all-linear',
  adapterDtype: 'F32',
  samplePrompt: null,
  save: true,
  saveBest: true,
  delta: false,
};

const SUGGESTED: NumberValues = {
  rank: 8,
  alpha: 16,
  dropout: 0,
  learningRate: 1e-4,
  epochs: 1,
  steps: 100,
  batchSize: 8,
  gradAccumulation: 1,
  maxLength: 512,
  warmupSteps: 0,
  weightDecay: 0,
  gradClip: 0,
  evalPercent: 5,
  evalEvery: 10,
  seed: 0,
  saveEvery: 25,
  saveMinutes: 5,
  keepLatest: 3,
  keepEvery: 0,
};

/** The embedded model is tiny and the demo sets are short: they want a higher rate, more passes and more rows kept aside. */
const SUGGESTED_EMBEDDED: NumberValues = { ...SUGGESTED, learningRate: 4e-3, epochs: 3, evalPercent: 10 };

/** The numbers to start from with a model. */
export function suggestedNumbers(source: ModelSource): NumberValues {
  return source === 'embedded' ? SUGGESTED_EMBEDDED : SUGGESTED;
}

function problemWith(name: NumberName, text: string): string | null {
  const rule: NumberRule = NUMBER_RULES[name];
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) return t('settings.notANumber');
  if (rule.whole && !Number.isInteger(value)) return t('settings.notWhole');
  if (rule.above === true && value <= rule.min) return t('settings.notAbove', { min: String(rule.min) });
  if (value < rule.min) return t('settings.tooSmall', { min: String(rule.min) });
  if (value > rule.max) return t('settings.tooLarge', { max: String(rule.max) });
  return null;
}

/** The numbers that hold, and a sentence for each that was typed and cannot be used (the suggested one stands in for it). */
export function readNumbers(
  typed: Settings['typed'],
  suggested: NumberValues,
): { values: NumberValues; problems: Partial<Record<NumberName, string>> } {
  const values = { ...suggested };
  const problems: Partial<Record<NumberName, string>> = {};
  for (const name of Object.keys(NUMBER_RULES) as NumberName[]) {
    const text = typed[name];
    if (text === undefined) continue;
    const problem = problemWith(name, text);
    if (problem === null) values[name] = Number(text);
    else problems[name] = problem;
  }
  return { values, problems };
}

/** The part of the settings that decides how the data is read. */
export function dataOptions(values: NumberValues): Omit<DataOptions, 'trainOn' | 'chat'> {
  return { maxLength: values.maxLength, evalSplit: values.evalPercent / 100, seed: values.seed };
}

/** Steps that a run over so many rows takes. */
export function countSteps(settings: Settings, values: NumberValues, trainRows: number): number {
  if (settings.lengthBy === 'steps') return values.steps;
  return Math.ceil((trainRows * values.epochs) / (values.batchSize * values.gradAccumulation));
}

const EVALUATION = { metric: 'evalLoss', direction: 'min' } as const;

/** When the run saves itself and what it keeps; null where it is not kept. */
export function savePolicy(settings: Settings, values: NumberValues): SavePolicy | null {
  if (!settings.save) return null;
  const { saveEvery, saveMinutes, keepLatest, keepEvery } = values;
  return {
    everySteps: saveEvery,
    everyMinutes: saveMinutes,
    rollingSteps: 0,
    best: settings.saveBest ? EVALUATION : null,
    final: true,
    retention: {
      keepLatest,
      ...(settings.saveBest ? { keepBest: { count: 1, ...EVALUATION } } : {}),
      ...(keepEvery > 0 ? { keepEvery } : {}),
    },
    ttlSeconds: null,
    delta: settings.delta,
  };
}

const SAMPLES_PER_RUN = 5;

/** What the worker is asked to run. */
export function toRunRequest(
  settings: Settings,
  values: NumberValues,
  data: { trainRows: number; samplePrompt: string },
): RunRequest {
  const { rank, alpha, dropout, learningRate, epochs, batchSize, gradAccumulation } = values;
  const { warmupSteps, weightDecay, gradClip, seed, evalEvery } = values;
  const { schedule, shuffle, rslora, targets } = settings;
  return {
    lora: { rank, alpha, dropout, rslora, targets },
    training: {
      epochs,
      steps: settings.lengthBy === 'steps' ? values.steps : null,
      batchSize,
      gradAccumulation,
      learningRate,
      schedule,
      warmupSteps,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-12,
      weightDecay,
      gradClip,
      seed,
      shuffle,
      evalEvery,
    },
    samplePrompt: settings.samplePrompt ?? data.samplePrompt,
    sampleEvery: Math.max(1, Math.round(countSteps(settings, values, data.trainRows) / SAMPLES_PER_RUN)),
    save: savePolicy(settings, values),
  };
}

/** The settings of a run that is gone on with, as if they had been typed. */
export function settingsOf(
  plan: Pick<ResumePlan, 'training' | 'lora' | 'dataOptions' | 'samplePrompt'>,
): Pick<Settings, 'typed' | 'lengthBy' | 'schedule' | 'shuffle' | 'rslora' | 'targets' | 'samplePrompt'> {
  const { training, lora, dataOptions } = plan;
  const { learningRate, epochs, steps, batchSize, gradAccumulation } = training;
  const { warmupSteps, weightDecay, gradClip, seed, evalEvery } = training;
  const numbers: Partial<NumberValues> = {
    rank: lora.rank,
    alpha: lora.alpha,
    dropout: lora.dropout,
    learningRate,
    epochs,
    ...(steps === null ? {} : { steps }),
    batchSize,
    gradAccumulation,
    maxLength: dataOptions.maxLength,
    warmupSteps,
    weightDecay,
    gradClip,
    // Rounded, so that dividing by 100 gives the very share again.
    evalPercent: Number((dataOptions.evalSplit * 100).toPrecision(12)),
    evalEvery,
    seed,
  };
  return {
    typed: Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)])),
    lengthBy: steps === null ? 'epochs' : 'steps',
    schedule: training.schedule,
    shuffle: training.shuffle,
    rslora: lora.rslora,
    targets: lora.targets,
    samplePrompt: plan.samplePrompt,
  };
}
