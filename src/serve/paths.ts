/** Paths and names as callers write them: parsed by the interface's rules, with other names of models understood. */
import { formatPath, parseCheckpointPath, type ParsedCheckpointPath } from '../api/paths.ts';
import type { CheckpointType } from '../api/types.ts';
import type { Models } from './models.ts';

/** A path with the run that its model has. Throws InvalidCheckpointPathError. */
export function readPath(models: Models, text: string, assume: CheckpointType): ParsedCheckpointPath {
  const parsed = parseCheckpointPath(text, { assume });
  const { runId, checkpointType, name } = parsed;
  const run = models.runOf(runId);
  const path = parseCheckpointPath(formatPath('lorikeet', run, checkpointType, name));
  return { ...path, kindAssumed: parsed.kindAssumed };
}

/** The path that a route's parameters name; a bare name is that of a sampler checkpoint. */
export function pathOfParams(
  models: Models,
  { run = '', kind, name = '' }: Readonly<Record<string, string>>,
): ParsedCheckpointPath {
  return readPath(
    models,
    formatPath('lorikeet', run, kind === 'weights' ? 'training' : 'sampler', name),
    'sampler',
  );
}
