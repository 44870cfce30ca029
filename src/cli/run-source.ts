/** What the command line writes into a run's record: where model and data lay. The settings lie in the checkpoints. */
import { resolve } from 'node:path';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { StudioError } from '../errors.ts';
import type { RunRecord } from '../storage/records.ts';

const sourceSchema = z.object({
  cli: z.object({ model: z.string(), data: z.string(), evalData: z.string().nullable() }),
});

export type RunPaths = z.infer<typeof sourceSchema>['cli'];

/** A path that means the same from another folder; names that are no paths stay. */
const absolute = (path: string): string => (existsSync(path) ? resolve(path) : path);

export function writePaths({ model, data, evalData }: RunPaths): { cli: RunPaths } {
  return {
    cli: {
      model: absolute(model),
      data: absolute(data),
      evalData: evalData === null ? null : absolute(evalData),
    },
  };
}

/** The paths of a run, where it was not started here those that were given. Throws OPTION_INVALID for one that is not known. */
export function pathsOf(
  run: RunRecord,
  given: { model?: string; data?: string; evalData?: string },
): RunPaths {
  const parsed = sourceSchema.safeParse(run.settings);
  const known = parsed.success ? parsed.data.cli : null;
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
