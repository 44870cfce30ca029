/**
 * Python's string methods where @huggingface/jinja 0.5.11 has JavaScript's: it strips white space whatever characters
 * `strip('\n')` names, takes JavaScript's idea of white space, and `capitalize` leaves the rest of the word as it is.
 */
import type { parse } from '@huggingface/jinja';

/** What Python's str.isspace accepts; JavaScript has U+FEFF besides, and lacks U+0085 and U+001C to U+001F. */
const SPACE = /\p{White_Space}/u;
const isSpace = (point: string): boolean => SPACE.test(point) || (point >= '\u001c' && point <= '\u001f');

function strip(text: string, characters: string | null | undefined, left: boolean, right: boolean): string {
  const points = Array.from(text);
  const drops = (point: string | undefined): boolean =>
    point !== undefined &&
    (characters === null || characters === undefined ? isSpace(point) : characters.includes(point));
  let start = 0;
  let end = points.length;
  while (left && start < end && drops(points[start])) start++;
  while (right && end > start && drops(points[end - 1])) end--;
  return points.slice(start, end).join('');
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new Error(`a value that is no string has no such method (${typeof value})`);
}

type StringFunction = (value: unknown, characters?: string | null) => string;

const METHODS: Record<string, StringFunction> = {
  strip: (value, characters) => strip(text(value), characters, true, true),
  lstrip: (value, characters) => strip(text(value), characters, true, false),
  rstrip: (value, characters) => strip(text(value), characters, false, true),
  capitalize: (value) => {
    const [first = '', ...rest] = Array.from(text(value));
    return first.toUpperCase() + rest.join('').toLowerCase();
  },
};

/** Filters take values that are undefined, and print them as nothing. */
const FILTERS: Record<string, StringFunction> = {
  trim: (value, characters) => METHODS['strip']?.(value ?? '', characters) ?? '',
  capitalize: (value) => METHODS['capitalize']?.(value ?? '') ?? '',
};

const functionName = (kind: 'method' | 'filter', name: string): string => `lorikeet_${kind}_${name}`;

/** The functions that `usePythonStrings` makes a template call, by name. */
export const PYTHON_STRINGS: Record<string, StringFunction> = {
  ...Object.fromEntries(
    Object.entries(METHODS).map(([name, method]) => [functionName('method', name), method]),
  ),
  ...Object.fromEntries(
    Object.entries(FILTERS).map(([name, filter]) => [functionName('filter', name), filter]),
  ),
};

type Program = ReturnType<typeof parse>;
type Node = Record<string, unknown> & { type: string };

/** Makes a parsed template call PYTHON_STRINGS: `x.strip('\n')` becomes a call with `x` and `'\n'`. Changes the program. */
export function usePythonStrings(program: Program): void {
  visit(program);
}

function visit(value: unknown): void {
  if (Array.isArray(value)) for (const item of value as unknown[]) visit(item);
  else if (value instanceof Map) {
    for (const [key, item] of value as Map<unknown, unknown>) {
      visit(key);
      visit(item);
    }
  } else if (isNode(value)) {
    for (const child of Object.values(value)) visit(child);
    rewriteMethod(value);
    rewriteFilter(value);
  }
}

function rewriteMethod(node: Node): void {
  const { callee, args } = node;
  if (node.type !== 'CallExpression' || !isNode(callee) || callee.type !== 'MemberExpression') return;
  const name = callee['computed'] === true ? undefined : identifier(callee['property']);
  if (name === undefined || !Object.hasOwn(METHODS, name) || !Array.isArray(args)) return;
  node['callee'] = rename(callee['property'], functionName('method', name));
  node['args'] = [callee['object'], ...(args as unknown[])];
}

/** `x | trim` and `x | trim('\n')`; a filter's own name is no variable, so the node itself becomes the call. */
function rewriteFilter(node: Node): void {
  const { filter, operand } = node;
  if (node.type !== 'FilterExpression' || !isNode(filter)) return;
  const [callee, args] = filter.type === 'CallExpression' ? [filter['callee'], filter['args']] : [filter, []];
  const name = identifier(callee);
  if (name === undefined || !Object.hasOwn(FILTERS, name) || !Array.isArray(args)) return;
  node.type = 'CallExpression';
  node['callee'] = rename(callee, functionName('filter', name));
  node['args'] = [operand, ...(args as unknown[])];
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

function identifier(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Identifier' && typeof value['value'] === 'string'
    ? value['value']
    : undefined;
}

/** An identifier node of the library's own class, with another name. */
function rename(node: unknown, value: string): unknown {
  return isNode(node) ? Object.assign(node, { value }) : node;
}
