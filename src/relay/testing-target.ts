/** Servers and requests of the relay's tests, over real sockets. */
import {
  createServer,
  request as send,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
} from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import { startRelay, type Relay, type RelayOptions } from './relay.ts';

export const PAGE = 'http://127.0.0.1:4173';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const it of open.splice(0).reverse()) await it.close();
});

export interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
}

export interface TestServer {
  url: string;
  port: number;
  seen: Seen[];
  close(): Promise<void>;
}

/** A server that answers as the test says and notes what came. Closed after the test. */
export async function serve(listener: RequestListener): Promise<TestServer> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  open.push({ close });
  return { url: `http://127.0.0.1:${String(port)}`, port, seen, close };
}

/** A server that gives back what it got as JSON. */
export const echo = (): Promise<TestServer> =>
  serve((request, response) => {
    void readAll(request).then((body) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ got: body.toString('latin1') }));
    });
  });

/** A relay for pages of PAGE. Closed after the test. */
export async function relayTo(target: string, options: Partial<RelayOptions> = {}): Promise<Relay> {
  const relay = await startRelay({ target, allowOrigin: PAGE, port: 0, ...options });
  open.push(relay);
  return relay;
}

export async function readAll(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

export interface CallOptions {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** A request as the page sends it, up to the answer's head. */
export function begin(relay: Relay, o: CallOptions = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', path = '/api/v1/healthz', headers = {}, body } = o;
    const request = send({
      host: '127.0.0.1',
      port: relay.port,
      method,
      path,
      headers: { origin: PAGE, ...headers },
    });
    request.on('response', resolve).on('error', reject);
    request.end(body);
  });
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The name of what the relay refused. */
  code: string | null;
}

/** A request with its whole answer. */
export async function call(relay: Relay, o: CallOptions = {}): Promise<Answer> {
  const response = await begin(relay, o);
  const text = (await readAll(response)).toString();
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    code: /"code":"(RELAY_[A-Z_]+)"/.exec(text)?.[1] ?? null,
  };
}

/** Bytes as they are; what came back until the other side closed. */
export function raw(port: number, text: string | Buffer, ms = 3000): Promise<string> {
  return new Promise((resolve) => {
    let back = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (part) => (back += part.toString('latin1')));
    const done = (): void => {
      clearTimeout(timer);
      resolve(back);
      socket.destroy();
    };
    const timer = setTimeout(done, ms);
    socket.on('close', done).on('error', done);
  });
}
