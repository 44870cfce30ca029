/**
 * The settings that a run was started with, beside its adapter's: what decides which rows it takes and how it trains.
 * A checkpoint holds them flat, by dotted names, so that a run goes on with them and with no others.
 */
import { z } from 'zod';
import type { FinetuneConfig } from '../engine/index.ts';
import { StudioError } from '../errors.ts';
import type { TrainingState } from '../formats/training-state.ts';
import type { PrepareOptions } from './prepare-data.ts';

export interface RunSettings {
  data: PrepareOptions & {
    /** Of the file, for people. */
    name: string;
  };
  training: FinetuneConfig;
}

const count = z.number().int().nonnegative();
const share = z.number().min(0).lt(1);

const settingsSchema = z.strictObject({
  data: z.strictObject({
    name: z.string(),
    trainOn: z.enum(['completion', 'all']),
    chat: z.boolean(),
    maxLength: count,
    evalSplit: z.number().min(0).max(0.5),
    seed: count,
  }),
  training: z.strictObject({
    epochs: z.number().positive(),
    steps: count.nullable(),
    batchSize: count.positive(),
    gradAccumulation: count.positive(),
    schedule: z.enum(['constant', 'linear', 'cosine']),
    warmupSteps: count,
    seed: count,
    shuffle: z.boolean(),
    evalEvery: count,
    learningRate: z.number().nonnegative(),
    beta1: share,
    beta2: share,
    eps: z.number().positive(),
    weightDecay: z.number().nonnegative(),
    gradClip: z.number().nonnegative(),
  }),
});

/** The settings by dotted names, such as `training.learningRate`. */
export function flattenSettings({ data, training }: RunSettings): TrainingState['settings'] {
  const { name, trainOn, chat, maxLength, evalSplit, seed } = data;
  const dotted = (group: string, members: object): [string, string | number | boolean | null][] =>
    Object.entries(members).map(([key, value]) => [`${group}.${key}`, value as string]);
  return Object.fromEntries([
    ...dotted('data', { name, trainOn, chat, maxLength, evalSplit, seed }),
    ...dotted('training', training),
  ]);
}

/** The settings of a checkpoint. Throws STATE_INCOMPLETE for one that is missing or of no known form. */
export function readSettings(flat: TrainingState['settings']): RunSettings {
  const groups: Record<string, Record<string, unknown>> = {};
  for (const [name, value] of Object.entries(flat)) {
    const dot = name.indexOf('.');
    const group = name.slice(0, dot);
    if (dot > 0) groups[group] = { ...groups[group], [name.slice(dot + 1)]: value };
  }
  const parsed = settingsSchema.safeParse({ data: groups['data'], training: groups['training'] });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new StudioError({
    code: 'STATE_INCOMPLETE',
    message: `The checkpoint's settings cannot be read: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}.`,
    fix: 'Start from its adapter alone (warm start), with settings of your own.',
  });
}

/** The settings in which two runs differ, by dotted names; data sets are told apart by their hash, not by their name. */
export function differingSettings(a: RunSettings, b: RunSettings): string[] {
  const [left, right] = [flattenSettings(a), flattenSettings(b)];
  return Object.keys(left).filter((name) => name !== 'data.name' && left[name] !== right[name]);
}
