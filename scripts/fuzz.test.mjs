// The short form of npm run test:fuzz: the same requests each time, against a relay and a server in this process.
import { expect, test } from 'vitest';
import { createBigramBackend } from '../src/api/testing-bigram-backend.ts';
import { startRelay } from '../src/relay/relay.ts';
import { startServer } from '../src/serve/server.ts';
import { makeIds } from './lib/fuzz-ids.mjs';
import { sampleRequests } from './lib/fuzz-requests.mjs';
import { judge, sendAll } from './lib/fuzz-send.mjs';
import { startBadTarget } from './lib/fuzz-target.mjs';

const ORIGIN = 'http://127.0.0.1:4173';
const COUNT = 300;
const SENDING = { limitMs: 10_000, atOnce: 8 };

/** @param {number} port @param {string[]} [ids] */
const place = (port, ids = []) => ({ host: `127.0.0.1:${port}`, origin: ORIGIN, prefix: '/api/v1', ids });

/** @param {{ problems: { why: string, request: { kind: string, pieces: Buffer[] }, text: string }[] }} outcome */
const told = ({ problems }) =>
  problems.map(({ why, request, text }) => [
    why,
    request.kind,
    Buffer.concat(request.pieces).toString('latin1').slice(0, 400),
    text,
  ]);

test('a relay before a server that behaves badly', async () => {
  const target = await startBadTarget();
  const relay = await startRelay({ target: target.url, allowOrigin: ORIGIN, port: 0 });
  const outcome = await sendAll(relay.port, sampleRequests(place(relay.port), COUNT, 1), SENDING);
  expect(told(outcome)).toEqual([]);
  expect(outcome.sent).toBe(COUNT);
  expect((await fetch(`${relay.url}/healthz`)).status).toBe(200);
  // It saw many of them, none outside of the two prefixes, and none through a trick.
  expect(target.heads.length).toBeGreaterThan(50);
  for (const head of target.heads)
    expect(head).toMatch(
      /^[A-Z]+ \/(api\/v1|api\/2\.0\/mlflow)\/(?!.*\.\.\/)[^\\]* HTTP\/1\.1$|^GET \/[xy] /,
    );
  await relay.close();
  await target.close();
});

test('a server, alone and behind the relay', async () => {
  const server = await startServer(createBigramBackend(), { allowedOrigins: [ORIGIN], log: () => undefined });
  const relay = await startRelay({ target: server.url, allowOrigin: ORIGIN, port: 0 });
  const ids = await makeIds(server.url, 'bigram');
  for (const port of [server.port, relay.port]) {
    const outcome = await sendAll(port, sampleRequests(place(port, ids), COUNT, 2), SENDING);
    expect(told(outcome)).toEqual([]);
    expect(outcome.sent).toBe(COUNT);
    expect(outcome.statuses['200']).toBeGreaterThan(5);
  }
  expect((await fetch(`${server.url}/api/v1/healthz`)).status).toBe(200);
  await relay.close();
  await server.close();
});

test('what would be found', () => {
  const request = { kind: 'x', pieces: [], pauseMs: 0, whole: true, leave: false };
  const found = (/** @type {string} */ text, closed = true) => judge(request, { text, closed, ms: 9000 });
  expect(found('HTTP/1.1 500 Internal Server Error\r\n\r\n')).toBe('status 500');
  expect(found('HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 501 No\r\n\r\n')).toBe('status 501');
  expect(found('HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n')).toBe(
    'status 502 without a name',
  );
  expect(
    found('HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n\r\n{"detail":"gone"}'),
  ).toBeNull();
  expect(found('', false)).toBe('no end after 9000 ms');
  expect(found('HTTP/1.1 400 Bad Request\r\n\r\n')).toBeNull();
});
