/**
 * What the command line writes into a run's record: where model and data lay, and when the run saves itself. The
 * settings that decide its numbers lie in the checkpoints.
 */
import { resolve } from 'node:path';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { StudioError } from '../errors.ts';
import type { RunRecord } from '../storage/records.ts';
import type { FinetuneOptions, SaveOptions } from './options.ts';

const count = z.number().int().nonnegative();
const savingSchema = z.object({
  saveEvery: count,
  saveMinutes: z.number().nonnegative(),
  keepLatest: count.positive().optional(),
  keepBest: count.positive().optional(),
  keepEvery: count.positive().optional(),
  ttl: z.number().positive().optional(),
  delta: z.boolean(),
});

const sourceSchema = z.object({
  cli: z.object({
    model: z.string(),
    data: z.string(),
    evalData: z.string().nullable(),
    /** Not in the records of earlier versions. */
    saving: savingSchema.optional(),
  }),
});

type RunSource = z.infer<typeof sourceSchema>['cli'];
export type RunPaths = Omit<RunSource, 'saving'>;
export type Saving = Omit<SaveOptions, 'save'>;

/** A path that means the same from another folder; names that are no paths stay. */
const absolute = (path: string): string => (existsSync(path) ? resolve(path) : path);

/** What a run's record says of where it came from, for `--resume` to go on with. */
export function writeSource(
  { model, data, evalData }: RunPaths,
  { saveEvery, saveMinutes, keepLatest, keepBest, keepEvery, ttl, delta }: Saving,
): RunRecord['settings'] {
  return {
    cli: {
      model: absolute(model),
      data: absolute(data),
      evalData: evalData === null ? null : absolute(evalData),
      saving: {
        saveEvery,
        saveMinutes,
        ...(keepLatest === undefined ? {} : { keepLatest }),
        ...(keepBest === undefined ? {} : { keepBest }),
        ...(keepEvery === undefined ? {} : { keepEvery }),
        ...(ttl === undefined ? {} : { ttl }),
        delta,
      },
    },
  };
}

function sourceOf(run: RunRecord): RunSource | null {
  const parsed = sourceSchema.safeParse(run.settings);
  return parsed.success ? parsed.data.cli : null;
}

/** The paths of a run, where it was not started here those that were given. Throws OPTION_INVALID for one that is not known. */
export function pathsOf(
  run: RunRecord,
  given: { model?: string; data?: string; evalData?: string },
): RunPaths {
  const known = sourceOf(run);
  const model = given.model ?? known?.model;
  const data = given.data ?? known?.data;
  if (model === undefined || data === undefined) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `The run ${run.name} was not started on this machine, so its ${model === undefined ? 'model' : 'data'} is not known.`,
      fix: `Give ${model === undefined ? '--model' : '--data'} as well; that it is the same is checked.`,
    });
  }
  return { model, data, evalData: given.evalData ?? known?.evalData ?? null };
}

/** When a resumed run saves itself and what it keeps: as it did before, but for what is given now. */
export function savingOf(run: RunRecord, options: FinetuneOptions): Saving {
  const known = sourceOf(run)?.saving;
  if (known === undefined) return options;
  const now = (name: keyof Saving): boolean => options.given.includes(name);
  // Rules of retention are declared together: one that is given replaces them all.
  const { keepLatest, keepBest, keepEvery } =
    now('keepLatest') || now('keepBest') || now('keepEvery') ? options : known;
  const ttl = now('ttl') ? options.ttl : known.ttl;
  return {
    saveEvery: (now('saveEvery') ? options : known).saveEvery,
    saveMinutes: (now('saveMinutes') ? options : known).saveMinutes,
    delta: (now('delta') ? options : known).delta,
    ...(keepLatest === undefined ? {} : { keepLatest }),
    ...(keepBest === undefined ? {} : { keepBest }),
    ...(keepEvery === undefined ? {} : { keepEvery }),
    ...(ttl === undefined ? {} : { ttl }),
  };
}
