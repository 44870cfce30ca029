/**
 * A server for tests, over real sockets: it answers requests with the recorded answers of a real one, and makes faults on
 * demand. A request that was never recorded is answered 599, with what was asked for, so that no test passes by chance.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Timing } from './timing.ts';

export const VERSIONS = ['skyrl-0.3.0', 'skyrl-a956457'] as const;
export type Version = (typeof VERSIONS)[number];

export interface Exchange {
  number: number;
  name: string;
  method: string;
  path: string;
  requestBody: unknown;
  status: number | null;
  responseHeaders: Record<string, string>;
  responseBody: unknown;
}

const fixture = (name: string): URL => new URL(`./fixtures/${name}`, import.meta.url);

export const exchangesOf = (version: Version): Exchange[] =>
  JSON.parse(readFileSync(fixture(`${version}.json`), 'utf8')) as Exchange[];
export const archiveOf = (version: Version): Uint8Array => readFileSync(fixture(`${version}-archive.tar.gz`));

/** One exchange by its number. */
export function exchange(version: Version, number: number): Exchange {
  const found = exchangesOf(version).find((e) => e.number === number && e.path.startsWith('/api'));
  if (found === undefined) throw new Error(`${version} has no exchange ${String(number)}.`);
  return found;
}

/** Requests that say the same: without numbers of turns, nulls, and what is the default anyway. */
function canonical(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => canonical(item));
  if (typeof value !== 'object' || value === null) return value;
  const dropped = [
    'seq_id',
    'type',
    'dtype',
    'shape',
    'allow_metadata_only',
    'sdk_version',
    'tags',
    'user_metadata',
    'model_seq_id',
    'sampling_session_seq_id',
    'session_id',
    'ttl_seconds',
  ];
  const entries = Object.entries(value as Record<string, unknown>)
    .filter(
      ([k, v]) =>
        v !== null &&
        v !== false &&
        !(k === 'topk_prompt_logprobs' && v === 0) &&
        (k === 'type' ? key === 'chunks' : !dropped.includes(k)),
    )
    .map(([k, v]) => [k, canonical(v, k)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}

const keyOf = (method: string, path: string, body: unknown): string =>
  `${method} ${path} ${JSON.stringify(canonical(body ?? {}))}`;

/** What a test does to a request instead of answering it; null lets it be. */
export type Fault = (request: { method: string; path: string; body: unknown; count: number }) =>
  | null
  | 'drop'
  | 'hang'
  /** The request is recorded as taken, and the connection dropped before the answer. */
  | 'lose'
  | { status: number; body?: string; headers?: Record<string, string> };

export interface ReplayServer {
  readonly url: string;
  /** Every request that came, in order. */
  readonly seen: {
    method: string;
    path: string;
    body: Record<string, unknown>;
    headers: IncomingMessage['headers'];
  }[];
  fault: Fault | null;
  close(): Promise<void>;
}

export const FAST: Partial<Timing> = {
  firstBackoff: 0.01,
  maxBackoff: 0.02,
  maxSubmitBackoff: 0.02,
  submitSeconds: 0.5,
  attempts: 3,
  requestSeconds: 2,
  pollSeconds: 1,
  minPollGap: 0.005,
  heartbeatSeconds: 0.05,
  archiveWaitSeconds: 0.01,
  closeSeconds: 1,
  billingPollSeconds: 0.01,
};

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const text = Buffer.concat(parts).toString('utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text === '' ? null : text;
  }
}

/** `extra` exchanges come first: they are for what the recording lacks. */
export async function startReplay(version: Version, extra: Partial<Exchange>[] = []): Promise<ReplayServer> {
  // The probe that tells versions apart was recorded with a run that exists; the answer is the same.
  const probe = { ...exchange(version, 230), path: '/api/v1/training_runs/model_0/checkpoints/x' };
  const byKey = new Map<string, Exchange[]>();
  const all = [
    ...extra.map((e) => ({
      number: 0,
      name: 'extra',
      method: 'POST',
      path: '',
      requestBody: null,
      status: 200,
      responseHeaders: {},
      responseBody: null,
      ...e,
    })),
    probe,
    ...exchangesOf(version),
  ];
  for (const e of all) {
    const key = keyOf(e.method, e.path, e.requestBody);
    byKey.set(key, [...(byKey.get(key) ?? []), e]);
  }
  const counts = new Map<string, number>();
  const seen: ReplayServer['seen'] = [];
  const state: { fault: Fault | null } = { fault: null };
  const archive = archiveOf(version);

  const answer = (e: Exchange, response: ServerResponse, url: string): void => {
    if (e.status === null) return;
    const { location, ...headers } = e.responseHeaders;
    const moved: Record<string, string> =
      location === undefined ? {} : { location: location.replace(/^http:\/\/[^/]+/, url) };
    const binary =
      typeof e.responseBody === 'object' && e.responseBody !== null && '$binary' in e.responseBody;
    const text = typeof e.responseBody === 'string' ? e.responseBody : JSON.stringify(e.responseBody);
    response.writeHead(e.status, { ...headers, ...moved });
    response.end(binary ? archive : e.status === 204 || e.responseBody === null ? undefined : text);
  };

  const handle = async (request: IncomingMessage, response: ServerResponse, url: string): Promise<void> => {
    const { method = '', url: path = '' } = request;
    const body = await bodyOf(request);
    seen.push({ method, path, body: (body ?? {}) as Record<string, unknown>, headers: request.headers });
    const short = path.replace('/api/v1/', '');
    const count = seen.filter((s) => s.path === path && s.method === method).length;
    const fault = state.fault?.({ method, path: short, body, count }) ?? null;
    if (fault === 'hang') return;
    if (fault === 'drop') {
      request.socket.destroy();
      return;
    }
    if (fault !== null && fault !== 'lose') {
      response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
      response.end(fault.body ?? JSON.stringify({ detail: 'made for the test' }));
      return;
    }
    if (short === 'session_heartbeat') {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"type":"session_heartbeat"}');
      return;
    }
    const key = keyOf(method, path, body);
    const recorded = byKey.get(key);
    const at = counts.get(key) ?? 0;
    counts.set(key, at + 1);
    const e = recorded?.[Math.min(at, recorded.length - 1)];
    if (fault === 'lose') {
      request.socket.destroy();
    } else if (e === undefined) {
      response.writeHead(599, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ detail: `not recorded: ${key.slice(0, 1500)}` }));
    } else answer(e, response, url);
  };

  const server: Server = createServer((request, response) => {
    const { port } = server.address() as AddressInfo;
    void handle(request, response, `http://127.0.0.1:${String(port)}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${String(port)}`,
    seen,
    get fault() {
      return state.fault;
    },
    set fault(fault) {
      state.fault = fault;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
