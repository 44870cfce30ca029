/** A page in a real Chromium reaches a server of another origin through the relay, with the real clients; other pages do not. */
import { createHash, randomBytes } from 'node:crypto';
import type { Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { FAST } from '../api/remote/testing-replay.ts';
import { startTinkerServer, type TinkerServer } from '../api/remote/testing-tinker-server.ts';
import {
  startTestBrowser,
  startTestServer,
  untilReady,
  type TestBrowser,
  type TestServer,
} from '../testing/browser.ts';
import { train, type inBrowser as InBrowser, type Place } from './testing-in-browser.ts';
import { readAll, relayTo, serve } from './testing-target.ts';

const MODULE = '/src/relay/testing-in-browser.ts';
const KEY = 'tml-only-the-relay-has-it';
const BYTES = randomBytes(12 * 2 ** 20);
const EXPIRES = 'Thu, 26 Nov 2026 12:00:00 GMT';

let browser: TestBrowser;
let other: TestServer;
let stranger: Page;
let tinker: TinkerServer;
beforeAll(async () => {
  tinker = await startTinkerServer({ fwdbwd_max_chunk_len: 1024 });
  browser = await startTestBrowser(MODULE);
  other = await startTestServer(MODULE);
  stranger = await browser.page.context().newPage();
  await stranger.goto(other.url);
  await untilReady(stranger);
});
afterAll(async () => {
  await browser.close();
  await other.close();
  await tinker.close();
});

/** Calls a function of the page's module. */
const call = <K extends keyof typeof InBrowser>(
  page: Page,
  tool: K,
  ...args: Parameters<(typeof InBrowser)[K]>
): Promise<Awaited<ReturnType<(typeof InBrowser)[K]>>> =>
  page.evaluate(
    ([key, values]) => {
      const inPage = globalThis as unknown as { inBrowser: Record<string, (...a: unknown[]) => unknown> };
      return inPage.inBrowser[key]?.(...values) as never;
    },
    [tool, args] as const,
  );

/** Where archives lie; it breaks off in the middle the first time that it is read on. */
async function store() {
  let broken = false;
  return serve((request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const length = BYTES.byteLength;
    const range = { 'content-range': `bytes ${String(from)}-${String(length - 1)}/${String(length)}` };
    response.writeHead(from > 0 ? 206 : 200, {
      'content-type': 'application/gzip',
      'content-disposition': 'attachment; filename="s.tar.gz"',
      'content-length': String(length - from),
      'accept-ranges': 'bytes',
      ...(from > 0 ? range : {}),
    });
    if (broken) return void response.end(BYTES.subarray(from));
    response.write(BYTES.subarray(0, 5 * 2 ** 20), () => {
      // What waits for the body's end is a download; what only looks where it is has gone by now.
      const timer = setTimeout(() => {
        broken = true;
        response.destroy();
      }, 300);
      response.once('close', () => clearTimeout(timer));
    });
  });
}

/** A server that wants a key, has no CORS, and keeps its archives elsewhere. */
async function target(archives: string) {
  return serve((request, response) => {
    void (async () => {
      const body = await readAll(request);
      if (request.headers['x-api-key'] !== KEY) return response.writeHead(401).end('{"detail":"no key"}');
      if (request.url?.endsWith('/archive') === true) {
        return response.writeHead(302, { location: `${archives}/s?signature=x`, expires: EXPIRES }).end();
      }
      const type = request.headers['content-type'];
      const answer = await fetch(`${tinker.url}${request.url ?? ''}`, {
        method: request.method ?? 'GET',
        headers: type === undefined ? {} : { 'content-type': type },
        ...(body.byteLength > 0 ? { body: new Uint8Array(body) } : {}),
      });
      response.writeHead(answer.status, {
        'content-type': answer.headers.get('content-type') ?? 'text/plain',
      });
      return response.end(Buffer.from(await answer.arrayBuffer()));
    })();
  });
}

let place: Place;
let asked: Awaited<ReturnType<typeof target>>;
let archives: Awaited<ReturnType<typeof store>>;
beforeEach(async () => {
  archives = await store();
  asked = await target(archives.url);
  const allowOrigin = new URL(browser.page.url()).origin;
  const relay = await relayTo(asked.url, { allowOrigin, apiKey: KEY });
  place = { baseUrl: asked.url, relayUrl: relay.url };
});

it('a page trains through it, without a key of its own, to the same numbers as in Node', async () => {
  const losses = await call(browser.page, 'train', place);
  expect(losses).toHaveLength(3);
  expect(losses[2]).toBeLessThan(losses[0] ?? NaN);
  expect(losses).toEqual(await train({ baseUrl: tinker.url }));
  expect(asked.seen.length).toBeGreaterThan(8);
  for (const { headers } of asked.seen)
    expect([headers.origin, headers['x-api-key']]).toEqual([undefined, KEY]);
});

it('without it the page does not reach the server', async () => {
  expect(await call(browser.page, 'trainFails', { baseUrl: asked.url, timing: FAST })).toBe(
    'APIConnectionError',
  );
});

it('an archive comes as a stream, goes on where it broke off, and its place gets no key', async () => {
  const got = await call(browser.page, 'download', place);
  expect(got).toMatchObject({
    sizeBytes: BYTES.byteLength,
    sha256: createHash('sha256').update(BYTES).digest('hex'),
    fileName: 's.tar.gz',
    url: `${place.relayUrl ?? ''}/api/v1/training_runs/run/checkpoints/sampler_weights/s/archive`,
    expires: new Date(EXPIRES).toISOString(),
  });
  // Held and given out whole it would be two, one for each answer.
  expect(got.pieces).toBeGreaterThan(3);
  expect(archives.seen.some(({ headers }) => headers.range !== undefined)).toBe(true);
  for (const { headers } of archives.seen) expect(headers).not.toHaveProperty('x-api-key');
});

it('a page of another origin is refused, with and without asking first', async () => {
  const url = `${place.relayUrl ?? ''}/api/v1/get_server_capabilities`;
  // What a page may send without leave is answered all the same, but not by the server, and not readably.
  expect(await call(stranger, 'reach', url)).toEqual({
    simple: 'TypeError',
    form: 'TypeError',
    json: 'TypeError',
    blind: 'opaque 0',
    image: 'refused',
  });
  expect(await call(stranger, 'trainFails', { ...place, timing: FAST })).toBe('APIConnectionError');
  expect(asked.seen).toEqual([]);
  expect((await call(browser.page, 'reach', url))['simple']).toBe('cors 200');
});
