/** Bodies and answers as streams: piece by piece, at the slower side's pace, and what happens where one side goes. */
import { once } from 'node:events';
import { request as send, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcp, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { begin, call, echo, PAGE, readAll, relayTo, serve } from './testing-target.ts';
import type { Relay } from './relay.ts';

const POST = { method: 'POST', path: '/api/v1/forward_backward' };
const MIB = 2 ** 20;

/** A request whose body the test writes. */
const open = (relay: Relay, headers: Record<string, string> = {}) =>
  send({ host: '127.0.0.1', port: relay.port, ...POST, headers: { origin: PAGE, ...headers } });

it('hands on the first piece of an answer before there is a second', async () => {
  let answer: ServerResponse | null = null;
  const target = await serve((_, response) => {
    answer = response;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('first');
  });
  const response = await begin(await relayTo(target.url));
  const [part] = (await once(response, 'data')) as [Buffer];
  expect(part.toString()).toBe('first');
  (answer as ServerResponse | null)?.end('second');
  expect((await readAll(response)).toString()).toBe('second');
});

it('hands on the first piece of a body before there is a second', async () => {
  const pieces: string[] = [];
  const target = await serve((request, response) => {
    request.on('data', (part: Buffer) => pieces.push(part.toString()));
    request.on('end', () => response.end('done'));
  });
  const request = open(await relayTo(target.url));
  request.write('first');
  while (pieces.length === 0) await sleep(5);
  request.end('second');
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  expect((await readAll(response)).toString()).toBe('done');
  expect(pieces.join('|')).toBe('first|second');
});

it('waits for a page that reads slowly', async () => {
  let written = 0;
  const target = await serve((_, response) => {
    const more = (): void => {
      while (written < 512 * MIB) {
        written += MIB;
        if (!response.write(Buffer.alloc(MIB))) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  });
  const response = await begin(await relayTo(target.url));
  response.pause();
  let held = -1;
  // Until it rests. What the sockets and buffers hold on their way is written, and no more.
  while (held !== written) {
    held = written;
    await sleep(500);
  }
  expect(held).toBeLessThan(64 * MIB);
  response.resume();
  await expect.poll(() => written, { timeout: 20_000 }).toBeGreaterThan(held);
  response.destroy();
});

it('waits for a server that reads slowly', async () => {
  const target = await serve((request) => void request.pause());
  const request = open(await relayTo(target.url, { maxBodyBytes: 1024 * MIB }));
  request.on('error', () => undefined);
  let written = 0;
  for (let more = true; more && written < 512 * MIB;) {
    written += MIB;
    const takes = request.write(Buffer.alloc(MIB));
    more =
      takes || (await Promise.race([once(request, 'drain').then(() => true), sleep(1000).then(() => false)]));
  }
  expect(written).toBeLessThan(64 * MIB);
  request.destroy();
});

it('lets the server know that the page has gone', async () => {
  const gone: string[] = [];
  const target = await serve((request, response) => {
    response.on('close', () => gone.push(request.url ?? ''));
  });
  const relay = await relayTo(target.url);
  const poll = send({ host: '127.0.0.1', port: relay.port, path: '/api/v1/poll', headers: { origin: PAGE } });
  poll.on('error', () => undefined);
  poll.end();
  const half = open(relay, { 'content-length': '100' });
  half.on('error', () => undefined);
  half.write('half');
  while (target.seen.length < 2) await sleep(5);
  poll.destroy();
  half.destroy();
  while (gone.length < 2) await sleep(5);
  expect(gone.sort()).toEqual(['/api/v1/forward_backward', '/api/v1/poll']);
});

it('hands on an answer that comes before the body is all there', async () => {
  const target = await serve((_, response) => {
    response.writeHead(422, { connection: 'close' });
    response.end('no');
  });
  const request = open(await relayTo(target.url));
  request.on('error', () => undefined);
  request.write('half');
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  expect([response.statusCode, (await readAll(response)).toString()]).toEqual([422, 'no']);
  request.destroy();
});

it('says that the server is not there', async () => {
  const target = await echo();
  const relay = await relayTo(target.url);
  await target.close();
  const { status, code, headers, text } = await call(relay, { ...POST, body: '{}' });
  expect([status, code]).toEqual([502, 'RELAY_TARGET_UNREACHABLE']);
  expect(headers['access-control-allow-origin']).toBe(PAGE);
  expect(headers['content-type']).toBe('application/json');
  expect(JSON.parse(text)).toEqual({ code, detail: 'The server cannot be reached (ECONNREFUSED).' });
});

/** A server that speaks no HTTP. */
async function rawServer(speak: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createTcp((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => speak(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

it.each([
  ['closes', '', 'ECONNRESET'],
  ['closes within the head', 'HTTP/1.1 200 OK\r\nContent-Le', 'HPE_INVALID_EOF_STATE|ECONNRESET'],
  ['speaks something else', 'SSH-2.0-OpenSSH_9.6\r\n', 'HPE_INVALID_CONSTANT'],
  [
    'says its length twice',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    'HPE_UNEXPECTED_CONTENT_LENGTH',
  ],
  ['has headers without end', `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, 'HPE_HEADER_OVERFLOW'],
])('names a server that %s', async (_, words, why) => {
  const target = await rawServer((socket) => socket.end(words));
  const { status, code, text } = await call(await relayTo(target.url), { ...POST, body: '{}' });
  expect([status, code]).toEqual([502, 'RELAY_TARGET_FAILED']);
  expect(text).toMatch(new RegExp(why));
  target.close();
});

it.each([
  'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
])('takes no answer like %j', async (words) => {
  const target = await rawServer((socket) => socket.end(words));
  const { status, code } = await call(await relayTo(target.url), { ...POST, body: '{}' });
  expect([status, code]).toEqual([502, 'RELAY_TARGET_FAILED']);
  target.close();
});

it('breaks the connection where an answer breaks off, so that half of it is not taken for all', async () => {
  const target = await rawServer((socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
  });
  const response = await begin(await relayTo(target.url));
  expect(response.statusCode).toBe(200);
  await expect(readAll(response)).rejects.toThrow('aborted');
  const chunked = await rawServer((socket) => {
    socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n');
  });
  const other = await begin(await relayTo(chunked.url));
  await expect(readAll(other)).rejects.toThrow('aborted');
  target.close();
  chunked.close();
});

it('waits for a long poll, and names a server that says nothing for too long', async () => {
  const target = await serve((request, response) => {
    if (request.url === '/api/v1/late') setTimeout(() => response.end('late'), 2000);
  });
  const patient = await relayTo(target.url, { silentSeconds: 60 });
  const short = await relayTo(target.url, { silentSeconds: 1 });
  const [late, never] = await Promise.all([
    call(patient, { ...POST, path: '/api/v1/late', body: '{}' }),
    call(short, { ...POST, path: '/api/v1/never', body: '{}' }),
  ]);
  expect([late.status, late.text]).toEqual([200, 'late']);
  expect([never.status, never.code]).toEqual([504, 'RELAY_TARGET_SILENT']);
});

it('does not wait for a connection without end', async () => {
  // It takes the connection and says nothing, so that no TLS comes of it.
  const target = await rawServer(() => undefined);
  const relay = await relayTo(target.url.replace('http:', 'https:'), { connectSeconds: 0.5 });
  const { status, code } = await call(relay, { ...POST, body: '{}' });
  expect([status, code]).toEqual([504, 'RELAY_TARGET_UNREACHABLE']);
  target.close();
});
