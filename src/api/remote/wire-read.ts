/** Reads values out of answers; what is not as the protocol says throws APIResponseValidationError, by name. */
import { invalidAnswer } from './answer.ts';

export type Json = Record<string, unknown>;

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export interface Reader {
  text(key: string): string;
  optionalText(key: string): string | undefined;
  optionalNumber(key: string): number | undefined;
  optionalBoolean(key: string): boolean | undefined;
  list(key: string): unknown[];
  optionalList(key: string): unknown[] | undefined;
  record(key: string): Json;
}

/** A reader of one object; `what` is the request that it answers. `null` counts as absent. */
export function reader(value: unknown, what: string): Reader {
  if (!isJson(value)) throw invalidAnswer(what, 'has something other than an object where one belongs');
  const optional = <T>(key: string, kind: string, is: (v: unknown) => v is T): T | undefined => {
    const found = value[key];
    if (found === undefined || found === null) return undefined;
    if (is(found)) return found;
    throw invalidAnswer(what, `has ${key} that is no ${kind}`);
  };
  const required = <T>(key: string, found: T | undefined): T => {
    if (found === undefined) throw invalidAnswer(what, `has no ${key}`);
    return found;
  };
  const isText = (v: unknown): v is string => typeof v === 'string';
  const isNumber = (v: unknown): v is number => typeof v === 'number';
  const isBoolean = (v: unknown): v is boolean => typeof v === 'boolean';
  const isList = (v: unknown): v is unknown[] => Array.isArray(v);
  return {
    text: (key) => required(key, optional(key, 'text', isText)),
    optionalText: (key) => optional(key, 'text', isText),
    optionalNumber: (key) => optional(key, 'number', isNumber),
    optionalBoolean: (key) => optional(key, 'boolean', isBoolean),
    list: (key) => required(key, optional(key, 'list', isList)),
    optionalList: (key) => optional(key, 'list', isList),
    record: (key) => required(key, optional(key, 'object', isJson)),
  };
}

/** Times without a zone are UTC; JavaScript would take them for local ones. */
export function utcTime(text: string): string {
  const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`;
  return Number.isNaN(Date.parse(zoned)) ? text : zoned;
}

/** A number, where `null` stands for NaN, which JSON has not. */
export function numberOrNaN(value: unknown, what: string): number {
  if (value === null) return NaN;
  if (typeof value === 'number') return value;
  throw invalidAnswer(what, `has ${JSON.stringify(value)} among numbers`);
}
