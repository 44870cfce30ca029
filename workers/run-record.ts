/** What the studio writes into a run's record: where model and data came from. The settings lie in the checkpoints. */
import { z } from 'zod';
import type { DataChoice, ModelChoice } from './api.ts';
import type { RunRecord } from '../src/storage/records.ts';

const sourceSchema = z.object({
  model: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('embedded') }),
    z.object({ kind: z.literal('hub'), id: z.string(), revision: z.string().nullable() }),
    z.object({ kind: z.literal('files'), label: z.string() }),
  ]),
  data: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('demo'), id: z.string() }),
    z.object({ kind: z.literal('file'), name: z.string() }),
  ]),
  steps: z.number().int().positive(),
  samplePrompt: z.string(),
  sampleEvery: z.number().int().nonnegative(),
});

export type RunSource = z.infer<typeof sourceSchema>;

/** The same with the choices of the page. */
export function runSource(
  model: ModelChoice,
  modelId: string,
  revision: string | null,
  data: DataChoice,
  rest: Pick<RunSource, 'steps' | 'samplePrompt' | 'sampleEvery'>,
): RunSource {
  return {
    model:
      model.kind === 'hub'
        ? { kind: 'hub', id: model.id, revision }
        : model.kind === 'files'
          ? { kind: 'files', label: modelId }
          : { kind: 'embedded' },
    data: data.kind === 'demo' ? data : { kind: 'file', name: data.file.name },
    ...rest,
  };
}

/** The sources of a run; null for one that was not started by the studio. */
export function readRunSource(settings: RunRecord['settings']): RunSource | null {
  const parsed = sourceSchema.safeParse(settings);
  return parsed.success ? parsed.data : null;
}
