/** Names of promoted models. Checked before anything is written: a name refused later leaves an orphan behind. */
import { OutputModelIdError } from './own-errors.ts';

/** What is wrong with a model id, one sentence for each rule; empty when it is valid. */
export function validateOutputModelId(id: unknown): string[] {
  if (typeof id !== 'string' || id === '') return ['The model id is required.'];
  const errors: string[] = [];
  if (id.length > 63)
    errors.push(`The model id has ${String(id.length)} characters; at most 63 are allowed.`);
  const bad = [...new Set(id.match(/[^a-z0-9-]/gu) ?? [])];
  if (bad.length > 0) {
    const list = bad.slice(0, 5).map((c) => JSON.stringify(c));
    errors.push(`The model id holds ${list.join(', ')}; only a-z, 0-9 and "-" are allowed.`);
  }
  return errors;
}

/** Throws OutputModelIdError where `validateOutputModelId` finds something. */
export function requireOutputModelId(id: unknown): asserts id is string {
  const errors = validateOutputModelId(id);
  if (errors.length > 0) throw new OutputModelIdError({ message: errors.join(' '), errors });
}
