/**
 * Errors across comlink, which carries name, message and stack only: the worker puts the fields into the
 * message as JSON, and here they come out again.
 */
import { ERROR_CODES, type ErrorFields, toErrorFields } from '../errors.ts';

function isErrorFields(value: unknown): value is ErrorFields {
  if (typeof value !== 'object' || value === null) return false;
  const { code, message, fix }: Record<string, unknown> = { ...value };
  return (
    ERROR_CODES.some((known) => known === code) && typeof message === 'string' && typeof fix === 'string'
  );
}

/** The fields of anything that a call to the worker was rejected with. */
export function readWireError(thrown: unknown): ErrorFields {
  if (thrown instanceof Error && thrown.message.startsWith('{')) {
    try {
      const fields: unknown = JSON.parse(thrown.message);
      if (isErrorFields(fields)) return fields;
    } catch {
      // Not ours: an ordinary message that happens to begin with a brace.
    }
  }
  return toErrorFields(thrown);
}
