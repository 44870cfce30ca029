/** The list of demo data sets that ships with the studio (`public/datasets/index.json`). */
import { StudioError } from '../errors.ts';

export interface DemoSet {
  id: string;
  /** File name in the folder of the list. */
  file: string;
  title: string;
  /** One line: what it teaches. */
  description: string;
  rows: number;
  /** A prompt whose answer shows the effect. */
  samplePrompt: string;
}

const TEXTS = ['id', 'file', 'title', 'description', 'samplePrompt'] as const;

function isDemoSet(value: unknown): value is DemoSet {
  if (typeof value !== 'object' || value === null) return false;
  const fields: Record<string, unknown> = { ...value };
  return TEXTS.every((name) => typeof fields[name] === 'string') && typeof fields['rows'] === 'number';
}

/** Reads the list. Throws JSON_INVALID when it is not one: the installation is damaged then. */
export function parseDemoIndex(json: unknown): DemoSet[] {
  if (Array.isArray(json) && json.length > 0 && json.every(isDemoSet)) return json;
  throw new StudioError({
    code: 'JSON_INVALID',
    message: 'The list of demo data sets (datasets/index.json) is damaged.',
    fix: 'Build the studio again, or use a data file of your own.',
  });
}
