/**
 * JSON from strangers. Unlike JSON.parse it refuses duplicate keys and deep nesting, gives objects without a
 * prototype (so `__proto__` is a key like any other), and can insist on plain non-negative integers.
 */
import { StudioError, type ErrorCode } from '../errors.ts';

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

export interface StrictJsonOptions {
  /** File name, for messages. */
  what: string;
  code?: ErrorCode;
  /** Levels of arrays and objects; a real header or config needs fewer than ten. */
  maxDepth?: number;
  /** Members of all objects and elements of all arrays together. */
  maxItems?: number;
  /** Refuse numbers that are not written as plain non-negative safe integers (`1e3`, `-1`, `2.0`). */
  integersOnly?: boolean;
  /** Read NaN, Infinity and -Infinity, which Python writes and JSON does not know. */
  notFinite?: boolean;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const INTEGER = /^(?:0|[1-9]\d*)$/;
const SPACE = /[ \t\n\r]*/y;

/** Decodes UTF-8 strictly: malformed bytes and a byte order mark are refused. */
export function decodeUtf8(bytes: Uint8Array, what: string, code: ErrorCode = 'JSON_INVALID'): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new StudioError(
      { code, message: `${what} is not UTF-8 text.`, fix: 'Save the file as UTF-8, or get it again.' },
      { cause },
    );
  }
  if (text.startsWith('\ufeff')) {
    throw new StudioError({
      code,
      message: `${what} starts with a byte order mark.`,
      fix: 'Save the file as UTF-8 without a byte order mark.',
    });
  }
  return text;
}

/** Parses JSON by the strict rules above; throws a StudioError that names the place. */
export function parseStrictJson(text: string, options: StrictJsonOptions): JsonValue {
  const {
    what,
    code = 'JSON_INVALID',
    maxDepth = 64,
    maxItems = 5_000_000,
    integersOnly = false,
    notFinite = false,
  } = options;
  let at = 0;
  let items = 0;

  const fail = (problem: string): never => {
    throw new StudioError({
      code,
      message: `${what} is not valid: ${problem} at character ${String(at)}.`,
      fix: 'The file is damaged or was written by a faulty program. Get it again from its source.',
    });
  };
  const skipSpace = (): void => {
    SPACE.lastIndex = at;
    SPACE.test(text);
    at = SPACE.lastIndex;
  };
  // Finds the closing quote by hand (a pattern would overflow the stack on a string of many megabytes);
  // JSON.parse decodes the escapes and refuses bad ones.
  const parseString = (): string => {
    if (text[at] !== '"') return fail('a string is missing');
    let end = at + 1;
    let plain = true;
    for (; end < text.length; end++) {
      const code = text.charCodeAt(end);
      if (code === 0x22) break;
      if (code < 0x20) return fail('a string holds a control character');
      if (code === 0x5c) {
        plain = false;
        end++;
      }
    }
    if (end >= text.length) return fail('a string has no end');
    const raw = text.slice(at, end + 1);
    let value: string;
    try {
      value = plain ? raw.slice(1, -1) : String(JSON.parse(raw));
    } catch {
      return fail('a string holds a bad escape');
    }
    at = end + 1;
    return value;
  };
  const parseNumber = (): number => {
    NUMBER.lastIndex = at;
    const raw = NUMBER.exec(text)?.[0];
    if (raw === undefined) return fail('there is an unexpected character');
    const value = Number(raw);
    if (!Number.isFinite(value)) fail(`the number ${raw.slice(0, 40)} is out of range`);
    if (integersOnly && !(INTEGER.test(raw) && Number.isSafeInteger(value))) {
      fail(`the number ${raw.slice(0, 40)} is not a plain whole number`);
    }
    at += raw.length;
    return value;
  };
  const countItem = (): void => {
    if (++items > maxItems) fail(`there are more than ${String(maxItems)} items`);
  };
  const parseObject = (depth: number): JsonObject => {
    const object = Object.create(null) as JsonObject;
    at++;
    skipSpace();
    if (text[at] === '}') return (at++, object);
    for (;;) {
      countItem();
      skipSpace();
      const key = parseString();
      if (Object.hasOwn(object, key)) fail(`the key ${JSON.stringify(key.slice(0, 80))} occurs twice`);
      skipSpace();
      if (text[at] !== ':') fail('a colon is missing');
      at++;
      object[key] = parseValue(depth + 1);
      if (text[at] === '}') return (at++, object);
      if (text[at] !== ',') fail('a comma is missing');
      at++;
    }
  };
  const parseArray = (depth: number): JsonValue[] => {
    const array: JsonValue[] = [];
    at++;
    skipSpace();
    if (text[at] === ']') return (at++, array);
    for (;;) {
      countItem();
      array.push(parseValue(depth + 1));
      if (text[at] === ']') return (at++, array);
      if (text[at] !== ',') fail('a comma is missing');
      at++;
    }
  };
  const parseWord = (): JsonValue => {
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (text.startsWith(word, at)) return ((at += word.length), value);
    }
    for (const word of notFinite ? ['NaN', 'Infinity', '-Infinity'] : []) {
      if (text.startsWith(word, at)) return ((at += word.length), Number(word));
    }
    return parseNumber();
  };
  // Leaves `at` on the first character after the value and the space that follows it.
  const parseValue = (depth: number): JsonValue => {
    if (depth > maxDepth) fail(`it is nested more than ${String(maxDepth)} deep`);
    skipSpace();
    if (at >= text.length) fail('the text ends too early');
    const first = text[at];
    let value: JsonValue;
    if (first === '{') value = parseObject(depth);
    else if (first === '[') value = parseArray(depth);
    else if (first === '"') value = parseString();
    else value = parseWord();
    skipSpace();
    return value;
  };

  const value = parseValue(0);
  if (at !== text.length) fail('there is text after the end');
  return value;
}

/** Whether a JSON value is an object (not an array, not null). */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses JSON that must be an object at the top. */
export function parseStrictObject(text: string, options: StrictJsonOptions): JsonObject {
  const value = parseStrictJson(text, options);
  if (isJsonObject(value)) return value;
  throw new StudioError({
    code: options.code ?? 'JSON_INVALID',
    message: `${options.what} holds ${Array.isArray(value) ? 'an array' : `the value ${JSON.stringify(value).slice(0, 40)}`}, not an object.`,
    fix: 'Choose the right file, or get it again from its source.',
  });
}
