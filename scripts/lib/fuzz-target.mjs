// A server that behaves as badly as servers can, for the relay that stands before it.
import { createServer } from 'node:net';

const JSON_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';
const MIB = 2 ** 20;

/** What it may do with a request. Which one is told by the request's number, so that a run can be repeated. */
/** @type {((socket: import('node:net').Socket, port: number) => void)[]} */
const MANNERS = [
  (socket) => socket.end(`${JSON_HEAD}Content-Length: 2\r\nConnection: close\r\n\r\n{}`),
  (socket) => socket.destroy(),
  (socket) => socket.end(),
  (socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'),
  (socket) => socket.end(`${JSON_HEAD}Content-Le`),
  (socket) => socket.end(`${JSON_HEAD}Content-Length: 100\r\n\r\nshort`),
  (socket) => socket.end(`${JSON_HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`),
  (socket) => socket.end(`${JSON_HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello`),
  (socket) => socket.end(`${JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`),
  (socket) => socket.end(`${JSON_HEAD}X: ${'y'.repeat(40_000)}\r\n\r\n`),
  (socket) => socket.end(`${JSON_HEAD}${'X: y\r\n'.repeat(5000)}\r\n`),
  (socket) => socket.end('HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n'),
  (socket) => socket.end('HTTP/1.1 100 Continue\r\n\r\n'.repeat(500)),
  (socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nxx'),
  (socket, port) =>
    socket.end(`HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:${port}/x\r\nContent-Length: 0\r\n\r\n`),
  (socket) => socket.end('HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n'),
  (socket) => socket.end('HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n'),
  (socket, port) => {
    const body = JSON.stringify({ url: `http://127.0.0.1:${port}/y` });
    socket.end(`${JSON_HEAD}Content-Length: ${body.length}\r\n\r\n${body}`);
  },
  (socket) => socket.end(`${JSON_HEAD}Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello`),
  (socket) => socket.end('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'),
  (socket) =>
    socket.end(
      'HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"detail":"busy"}',
    ),
  (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${4 * MIB}\r\nConnection: close\r\n\r\n`);
    socket.end(Buffer.alloc(4 * MIB));
  },
  (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n`);
    let left = 8;
    const timer = setInterval(() => {
      if (socket.destroyed || left-- === 0) {
        clearInterval(timer);
        socket.end('0\r\n\r\n');
      } else socket.write('1\r\na\r\n');
    }, 20);
  },
];

/**
 * Starts it on a free port.
 * @returns {Promise<{ url: string, port: number, seen: () => number, heads: string[], close: () => Promise<void> }>}
 */
export async function startBadTarget() {
  let number = 0;
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  /** @type {string[]} the first request lines */
  const heads = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.once('data', (head) => {
      if (heads.length < 10_000) heads.push(head.toString('latin1').split('\r\n')[0] ?? '');
      const manner = MANNERS[number++ % MANNERS.length];
      const address = server.address();
      manner?.(socket, typeof address === 'object' && address !== null ? address.port : 0);
      socket.resume();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    seen: () => number,
    heads,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
