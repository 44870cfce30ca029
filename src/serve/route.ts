/** Routes: a method, a path with parameters, what its body and query must be, and what it does. */
import type { IncomingHttpHeaders } from 'node:http';
import type { z } from 'zod';
import { HttpFailure } from './failure.ts';
import { mediaType, parseJson } from './read-body.ts';
import type { Reply } from './reply.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** A request whose route is known and whose body is not read as anything yet. */
export interface RawCall {
  body: Uint8Array;
  headers: IncomingHttpHeaders;
  query: URLSearchParams;
  /** Percent-decoded. */
  params: Readonly<Record<string, string>>;
  /** Aborted when the caller has gone. */
  signal: AbortSignal;
  /** The address under which the caller sees this server. */
  origin: string;
}

export interface Call<B, Q> extends Omit<RawCall, 'body' | 'query'> {
  body: B;
  query: Q;
}

export interface Route {
  readonly method: Method;
  /** Below /api/v1/, with `:name` for a parameter and `:name=a|b` for one of few values. */
  readonly path: string;
  readonly summary: string;
  readonly body: z.ZodType | null;
  readonly query: z.ZodType | null;
  /** Takes protobuf besides JSON. */
  readonly protobuf: boolean;
  /** Needs no key: it tells nothing, or checks a signature of its own. */
  readonly open: boolean;
  readonly handle: (call: RawCall) => Promise<Reply>;
}

export interface RouteOptions<B, Q> {
  method: Method;
  path: string;
  summary: string;
  body?: z.ZodType<B>;
  query?: z.ZodType<Q>;
  open?: boolean;
  handle: (call: Call<B, Q>) => Reply | Promise<Reply>;
}

export const PROTOBUF = 'application/x-protobuf';

/** The body as JSON. Throws 415 for another type: pages could send such without being asked first. */
export function jsonBody({ body, headers }: RawCall): unknown {
  const type = mediaType(headers['content-type']);
  if (body.length > 0 && type !== 'application/json') {
    throw new HttpFailure(
      415,
      `The Content-Type is ${JSON.stringify(type.slice(0, 100))}, not application/json.`,
    );
  }
  return parseJson(body);
}

/** A route that parses what it is given. Without a schema the body is not looked at. */
export function route<B = undefined, Q = undefined>(o: RouteOptions<B, Q>): Route {
  const { method, path, summary, body = null, query = null, open = false } = o;
  return {
    method,
    path,
    summary,
    body,
    query,
    open,
    protobuf: false,
    handle: async (raw) => {
      const parsedBody = body === null ? undefined : body.parse(jsonBody(raw));
      const parsedQuery = query === null ? undefined : query.parse(Object.fromEntries(raw.query));
      return o.handle({ ...raw, body: parsedBody as B, query: parsedQuery as Q });
    },
  };
}

export type Matched = { route: Route; params: Record<string, string> };

const split = (path: string): string[] => path.split('/');

function matchPath(pattern: readonly string[], path: readonly string[]): Record<string, string> | null {
  if (pattern.length !== path.length) return null;
  const params: Record<string, string> = {};
  for (const [i, part] of pattern.entries()) {
    const given = path[i] ?? '';
    if (!part.startsWith(':')) {
      if (part !== given) return null;
      continue;
    }
    const [name = '', values] = part.slice(1).split('=');
    try {
      params[name] = decodeURIComponent(given);
    } catch {
      throw new HttpFailure(400, 'The path is not percent-encoded UTF-8.');
    }
    if (values !== undefined && !values.split('|').includes(params[name] ?? '')) return null;
  }
  return params;
}

export interface Router {
  /** Throws 404 for an unknown path, 405 where it has no such method. */
  match(method: string, path: string): Matched;
}

/** Paths are below /api/v1/. Of two that fit, the one that comes first is taken. */
export function createRouter(routes: readonly Route[]): Router {
  const patterns = routes.map((found) => ({ found, pattern: split(found.path) }));
  return {
    match: (method, path) => {
      const parts = split(path);
      const others = new Set<string>();
      for (const { found, pattern } of patterns) {
        const params = matchPath(pattern, parts);
        if (params === null) continue;
        if (found.method === method) return { route: found, params };
        others.add(found.method);
      }
      if (others.size === 0) throw new HttpFailure(404, 'Not Found');
      throw new HttpFailure(405, 'Method Not Allowed', { Allow: [...others].join(', ') });
    },
  };
}
