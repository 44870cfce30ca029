/** Which headers pass, in both directions; all others stay behind. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { RelayPath } from './path.ts';

const REQUEST = [
  'accept',
  'content-type',
  'content-encoding',
  'x-api-key',
  'x-idempotency-key',
  'range',
  'if-range',
];
const RESPONSE = [
  'content-type',
  'content-length',
  'content-encoding',
  'content-disposition',
  'content-range',
  'accept-ranges',
  'expires',
  'retry-after',
  'etag',
  'last-modified',
];
/** What a redirect to another host may know of the request. */
const REDIRECTED = ['accept', 'range', 'if-range', 'accept-encoding', 'user-agent'];

export type Headers = Record<string, string>;

/** Whether a page may send this header, by its lower-case name. Tokens of MLflow go to MLflow only, checked there. */
export const mayPass = (name: string): boolean =>
  REQUEST.includes(name) || name === 'authorization' || /^x-tinker-[a-z0-9-]{1,64}$/.test(name);

const textOf = (value: string | string[] | undefined): string | null =>
  value === undefined ? null : Array.isArray(value) ? value.join(', ') : value;

/** The request's headers for the server. The relay's own key takes the place of the page's. */
export function requestHeaders(request: IncomingMessage, path: RelayPath, apiKey: string | null): Headers {
  const headers: Headers = { 'user-agent': 'lorikeet-relay', 'accept-encoding': 'identity' };
  for (const [name, value] of Object.entries(request.headers)) {
    const text = textOf(value);
    if (text === null || !mayPass(name)) continue;
    if (name === (path.kind === 'mlflow' ? 'x-api-key' : 'authorization')) continue;
    headers[name] = text;
  }
  if (path.kind === 'tinker' && apiKey !== null) headers['x-api-key'] = apiKey;
  const length = request.headers['content-length'];
  if (length !== undefined) headers['content-length'] = length;
  else if (request.headers['transfer-encoding'] !== undefined) headers['transfer-encoding'] = 'chunked';
  return headers;
}

/** What is left of them for another host: no key, no ids. */
export const redirectedHeaders = (headers: Headers): Headers =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => REDIRECTED.includes(name)));

/** The answer's headers for the page. */
export function responseHeaders(given: IncomingHttpHeaders): Headers {
  const headers: Headers = {};
  for (const name of RESPONSE) {
    const text = textOf(given[name]);
    if (text !== null) headers[name] = text;
  }
  return headers;
}

/** Of the headers that a preflight asks for, those that pass. */
export const allowedOf = (asked: string): string =>
  asked
    .slice(0, 4096)
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter(mayPass)
    .join(', ');
