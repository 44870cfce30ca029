/** The HTTP server: sockets on one side, the protocol (app.ts) on the other. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Backend } from '../api/backend.ts';
import { StudioError } from '../errors.ts';
import { createServeApp } from './app.ts';
import { checkServeOptions, type GivenServeOptions, type ServeOptions } from './options.ts';
import { readBody } from './read-body.ts';
import type { Reply } from './reply.ts';

export interface RunningServer {
  /** Such as `http://127.0.0.1:8000`. */
  readonly url: string;
  readonly port: number;
  /** Takes no more requests, ends the sessions, and closes the connections. The backend stays the caller's. */
  close(): Promise<void>;
}

async function send(reply: Reply, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers: Record<string, string> = {
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...reply.headers,
  };
  const whole = (type: string, body: Uint8Array): void => {
    response.writeHead(reply.status, {
      ...headers,
      'Content-Type': type,
      'Content-Length': String(body.length),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  switch (reply.kind) {
    case 'json':
      whole('application/json', new TextEncoder().encode(JSON.stringify(reply.body)));
      return;
    case 'bytes':
      whole(reply.type, reply.body);
      return;
    case 'stream':
      response.writeHead(reply.status, { ...headers, 'Content-Type': reply.type });
      // A stream that breaks off closes the connection, so the caller sees that bytes are missing.
      await pipeline(Readable.fromWeb(reply.body as Parameters<typeof Readable.fromWeb>[0]), response);
      return;
    default:
      reply satisfies never;
  }
}

const listening = (error: NodeJS.ErrnoException, o: ServeOptions): StudioError =>
  new StudioError(
    {
      code: 'OPTION_INVALID',
      message: `${o.host}:${String(o.port)} cannot be listened on (${error.code ?? error.message}).`,
      fix: 'Choose another --port, or end the program that uses this one.',
    },
    { cause: error },
  );

/** Starts listening. Throws OPTION_INVALID for options that do not go together and for an address that is taken. */
export async function startServer(backend: Backend, given: GivenServeOptions = {}): Promise<RunningServer> {
  const options = checkServeOptions(given);
  const app = createServeApp(backend, options);

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const gone = new AbortController();
    response.on('close', () => {
      gone.abort();
    });
    const reply = await app.answer({
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: () => readBody(request, options.limits.maxBody),
      signal: gone.signal,
    });
    if (!request.complete) {
      // What is left of a refused body is not read: the connection ends with this answer.
      response.setHeader('Connection', 'close');
    }
    await send(reply, request, response);
    if (!request.complete) request.destroy();
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      // Its caller has gone, or the stream broke off.
      if (!response.headersSent) response.writeHead(500);
      response.destroy();
      if ((error as { code?: unknown }).code !== 'ERR_STREAM_PREMATURE_CLOSE')
        options.log(`error: ${String(error)}`);
    });
  });
  // Long polls and big archives take their time; a request's own bytes do not.
  server.requestTimeout = 300_000;
  server.headersTimeout = 60_000;
  server.keepAliveTimeout = 75_000;

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listening(error, options)));
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const name = options.host.includes(':') ? `[${options.host}]` : options.host;
  let closing: Promise<void> | null = null;
  return {
    url: `http://${name}:${String(port)}`,
    port,
    close: () => {
      closing ??= (async () => {
        const closed = new Promise<void>((resolve) => server.close(() => resolve()));
        await app.close();
        server.closeAllConnections();
        await closed;
      })();
      return closing;
    },
  };
}
