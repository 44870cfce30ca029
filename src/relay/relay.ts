/**
 * A relay before a training server, for pages: it adds CORS for one origin and keeps the key out of the page.
 * Loopback unless it is told otherwise; it stores nothing and prints no keys.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StudioError } from '../errors.ts';
import { jsonHeaders, RelayError, sendJson, type Refusal } from './answers.ts';
import { forward, type ForwardOptions } from './forward.ts';
import { allowedOf } from './headers.ts';
import { checkCaller, corsHeaders, isOwnHost, readOrigin } from './origin.ts';
import { readPath } from './path.ts';
import { isLoopbackHost, readTarget } from './target.ts';
import { hasBody } from './upload.ts';

export interface RelayOptions {
  /** Address of the server. */
  target: string;
  /** Where pages may come from: one origin. */
  allowOrigin: string;
  /** Loopback unless given. */
  host?: string;
  /** 0 takes a free one. */
  port?: number;
  /** Allows a host that other machines can reach. */
  expose?: boolean;
  /** Sent to the server in place of the page's. */
  apiKey?: string | null;
  maxBodyBytes?: number;
  connectSeconds?: number;
  silentSeconds?: number;
  /** Told of each request that was refused or failed; never with keys, queries or what came from outside. */
  onTrouble?: (line: string) => void;
}

export interface Relay {
  readonly url: string;
  readonly port: number;
  readonly target: string;
  readonly allowOrigin: string;
  /** Ends it with all its connections. */
  close(): Promise<void>;
}

export const DEFAULT_RELAY = {
  host: '127.0.0.1',
  port: 8788,
  maxBodyBytes: 256 * 2 ** 20,
  connectSeconds: 10,
  /** Long polls of the known servers take up to 300 s. */
  silentSeconds: 900,
} as const;

const TIMES = {
  headersTimeout: 15_000,
  requestTimeout: 300_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 5000,
};
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** How long what comes after a refusal is thrown away, so that the refusal can be read. */
const LINGER_MS = 2000;

/** The refusal, and an end to the connection where a body is still coming. */
function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  r: Refusal,
  cors: Readonly<Record<string, string>>,
): void {
  const body = { detail: r.detail, code: r.code };
  if (request.complete || !hasBody(request)) return sendJson(response, r.status, body, cors);
  const text = JSON.stringify(body);
  response.writeHead(r.status, { ...jsonHeaders(text), ...cors, connection: 'close' });
  response.write(text);
  request.resume();
  const end = (): void => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, LINGER_MS);
  request.once('end', end);
  response.once('close', end);
}

function preflight(request: IncomingMessage, response: ServerResponse, cors: Record<string, string>): void {
  const { headers } = request;
  const asked = headers['access-control-request-headers'];
  response.writeHead(204, {
    ...cors,
    'access-control-allow-methods': METHODS.join(', '),
    ...(asked === undefined ? {} : { 'access-control-allow-headers': allowedOf(asked) }),
    ...(headers['access-control-request-private-network'] === 'true'
      ? { 'access-control-allow-private-network': 'true' }
      : {}),
    'access-control-max-age': '600',
  });
  response.end();
}

const toRefusal = (error: unknown): Refusal =>
  error instanceof RelayError
    ? error.refusal
    : { status: 500, code: 'RELAY_INTERNAL', detail: 'The relay failed. This is a bug in Lorikeet.' };

/** Starts the relay. Throws OPTION_INVALID for what it cannot listen on or may not serve. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { host, port, maxBodyBytes, connectSeconds, silentSeconds } = { ...DEFAULT_RELAY, ...options };
  const target = readTarget(options.target);
  const allowOrigin = readOrigin(options.allowOrigin);
  if (!isLoopbackHost(host) && options.expose !== true) {
    throw new StudioError({
      code: 'OPTION_INVALID',
      message: `--host is ${host}, which other machines can reach.`,
      fix: 'Leave --host out, or add --expose if that is wanted.',
    });
  }
  const cors = corsHeaders(allowOrigin);
  const forwarding: ForwardOptions = {
    target,
    apiKey: options.apiKey ?? null,
    maxBodyBytes,
    connectSeconds,
    silentSeconds,
  };
  let bound = port;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const method = request.method ?? '';
    const caller = { bound: host, port: bound, allowOrigin };
    if (request.url === '/healthz' && method === 'GET' && isOwnHost(request.headers.host, host, bound)) {
      return sendJson(response, 200, { status: 'ok' });
    }
    const stranger = checkCaller(request, caller);
    if (stranger !== null) return trouble(request, response, stranger, {});
    const path = readPath(request.url ?? '');
    if ('status' in path) return trouble(request, response, path, cors);
    if (method === 'OPTIONS') return preflight(request, response, cors);
    if (!METHODS.includes(method)) {
      const words = `The relay hands on ${METHODS.join(', ')} only.`;
      return trouble(request, response, { status: 405, code: 'RELAY_METHOD_REFUSED', detail: words }, cors);
    }
    try {
      await forward(request, response, path, cors, forwarding);
    } catch (error) {
      // The page has left, or has half an answer: there is nobody to tell, or no way to.
      if (response.destroyed || response.headersSent) response.destroy();
      else trouble(request, response, toRefusal(error), cors);
    }
  };

  const trouble = (
    request: IncomingMessage,
    response: ServerResponse,
    r: Refusal,
    headers: Record<string, string>,
  ): void => {
    options.onTrouble?.(`${String(r.status)} ${r.code} ${r.detail}`);
    refuse(request, response, r, headers);
  };

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    // A connection that breaks is seen by the streams that use it.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    answer(request, response).catch(() => response.destroy());
  };
  const server = createServer(TIMES, handle);
  // The body is asked for only where it will be taken.
  server.on('checkContinue', handle);
  server.maxConnections = 1024;
  await new Promise<void>((resolve, reject) => {
    server.on('error', (error: NodeJS.ErrnoException) => {
      reject(
        new StudioError(
          {
            code: 'OPTION_INVALID',
            message: `The relay cannot listen on ${host}, port ${String(port)} (${error.code ?? error.message}).`,
            fix: 'Choose another --port or --host.',
          },
          { cause: error },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
  bound = (server.address() as AddressInfo).port;
  const shown = host.includes(':') ? `[${host}]` : host;
  return {
    url: `http://${shown}:${String(bound)}`,
    port: bound,
    target: target.origin + target.prefix,
    allowOrigin,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
