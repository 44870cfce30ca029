/** Small helpers for parsed JSON whose shape is not known yet. */
import type { JsonObject, JsonValue } from '../formats/strict-json.ts';

/** Whether a JSON value is an object (not an array, not null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses JSON; a message instead of a value when it is malformed. */
export function tryParseJson(text: string): { value: JsonValue } | { problem: string } {
  try {
    return { value: JSON.parse(text) as JsonValue };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** Whether the text has half of a surrogate pair: no valid Unicode, no tokenizer has ids for it. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

/** A JSON value for a message: strings as they are, the rest as JSON, cut to a readable length. */
export function shown(value: JsonValue | undefined): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}
