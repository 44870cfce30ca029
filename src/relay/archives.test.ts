/** Archives lie elsewhere: the relay follows the redirect, hands no key on, and streams what it finds. */
import { createHash, randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ask } from './ask.ts';
import { nextUrl } from './redirect.ts';
import { call, PAGE, relayTo, serve, type TestServer } from './testing-target.ts';

const ARCHIVE = '/api/v1/training_runs/r/checkpoints/sampler_weights/s/archive';
const BYTES = randomBytes(3 * 2 ** 20);
const EXPIRES = 'Thu, 26 Nov 2026 12:00:00 GMT';

/** Where archives lie: takes ranges, has no CORS, and knows no keys. */
const files = (): Promise<TestServer> =>
  serve((request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const length = BYTES.byteLength;
    response.writeHead(from > 0 ? 206 : 200, {
      'content-type': 'application/gzip',
      'content-disposition': 'attachment; filename="s.tar.gz"',
      'content-length': String(length - from),
      'accept-ranges': 'bytes',
      ...(from > 0
        ? { 'content-range': `bytes ${String(from)}-${String(length - 1)}/${String(length)}` }
        : {}),
    });
    response.end(BYTES.subarray(from));
  });

const redirect =
  (location: string, status = 302): RequestListener =>
  (_, response) =>
    void response.writeHead(status, { location, expires: EXPIRES }).end();

const KEYS = { 'x-api-key': 'tml-page', 'x-idempotency-key': 'i', 'x-tinker-request-type': 't' };

it.each([301, 302, 303, 307, 308])('a %i is followed, and the other host gets no key', async (status) => {
  const store = await files();
  const target = await serve(redirect(`${store.url}/bucket/s.tar.gz?signature=abc`, status));
  const relay = await relayTo(target.url, { apiKey: 'tml-relay' });
  const answer = await fetch(`${relay.url}${ARCHIVE}`, { headers: { origin: PAGE, ...KEYS } });
  const hash = createHash('sha256')
    .update(Buffer.from(await answer.arrayBuffer()))
    .digest('hex');
  expect([answer.status, answer.redirected, hash]).toEqual([
    200,
    false,
    createHash('sha256').update(BYTES).digest('hex'),
  ]);
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'access-control-allow-origin': PAGE,
    'content-disposition': 'attachment; filename="s.tar.gz"',
    'content-length': String(BYTES.byteLength),
    expires: EXPIRES,
  });
  expect(target.seen[0]?.headers['x-api-key']).toBe('tml-relay');
  expect(store.seen).toEqual([
    {
      method: 'GET',
      url: '/bucket/s.tar.gz?signature=abc',
      headers: {
        host: `127.0.0.1:${String(store.port)}`,
        accept: '*/*',
        'accept-encoding': 'identity',
        'user-agent': 'lorikeet-relay',
        connection: 'close',
      },
    },
  ]);
});

it('a part of an archive can be asked for', async () => {
  const store = await files();
  const target = await serve(redirect(`${store.url}/s`));
  const relay = await relayTo(target.url);
  const from = BYTES.byteLength - 5;
  const answer = await fetch(`${relay.url}${ARCHIVE}`, {
    headers: { origin: PAGE, range: `bytes=${String(from)}-` },
  });
  expect(answer.status).toBe(206);
  expect(answer.headers.get('content-range')).toBe(
    `bytes ${String(from)}-${String(BYTES.byteLength - 1)}/${String(BYTES.byteLength)}`,
  );
  expect(Buffer.from(await answer.arrayBuffer())).toEqual(BYTES.subarray(from));
});

it('an address in JSON is followed as well', async () => {
  const store = await files();
  const target = await serve((_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ url: `${store.url}/s`, expires: new Date(EXPIRES).toISOString() }));
  });
  const { status, headers } = await call(await relayTo(target.url), { path: ARCHIVE, headers: KEYS });
  expect([status, headers['content-length'], headers.expires]).toEqual([
    200,
    String(BYTES.byteLength),
    EXPIRES,
  ]);
  expect(store.seen[0]?.headers).not.toHaveProperty('x-api-key');
});

it('other JSON comes back as it is, and so does what says that there is no archive yet', async () => {
  const target = await serve((request, response) => {
    const building = request.url?.includes('building') === true;
    response.writeHead(building ? 503 : 200, {
      'content-type': 'application/json',
      ...(building ? { 'retry-after': '30' } : {}),
    });
    response.end(building ? '{"detail":"being built"}' : '{"urls":[]}');
  });
  const relay = await relayTo(target.url);
  const building = await call(relay, { path: '/api/v1/training_runs/building/archive' });
  expect([building.status, building.headers['retry-after'], building.text]).toEqual([
    503,
    '30',
    '{"detail":"being built"}',
  ]);
  const other = await call(relay, { path: ARCHIVE });
  expect([other.status, other.text]).toEqual([200, '{"urls":[]}']);
});

it('the key goes with a redirect on the same server', async () => {
  const target = await serve((request, response) => {
    if (request.url === ARCHIVE) response.writeHead(302, { location: '/api/v1/files/s' }).end();
    else response.end('here');
  });
  const { text } = await call(await relayTo(target.url, { apiKey: 'k' }), { path: ARCHIVE });
  expect([text, target.seen[1]?.headers['x-api-key']]).toEqual(['here', 'k']);
});

describe('a redirect is refused', () => {
  it('where it goes on and on', async () => {
    const target = await serve(redirect(ARCHIVE));
    const { status, code } = await call(await relayTo(target.url), { path: ARCHIVE });
    expect([status, code, target.seen.length]).toEqual([502, 'RELAY_REDIRECT_REFUSED', 6]);
  });

  it('for all but archives', async () => {
    const store = await files();
    const target = await serve(redirect(`${store.url}/s`));
    const relay = await relayTo(target.url);
    for (const o of [{ path: '/api/v1/training_runs' }, { path: ARCHIVE, method: 'POST' }]) {
      const { status, code, headers } = await call(relay, o);
      expect([status, code, headers.location]).toEqual([502, 'RELAY_REDIRECT_REFUSED', undefined]);
    }
    expect(store.seen).toEqual([]);
  });

  it.each(['file:///etc/passwd', 'ftp://a/b', 'http://user:pw@a/', 'http://', 'javascript:1'])(
    'to %s',
    async (location) => {
      const target = await serve(redirect(location));
      const { status, code, text } = await call(await relayTo(target.url), { path: ARCHIVE });
      expect([status, code]).toEqual([502, 'RELAY_REDIRECT_REFUSED']);
      expect(text).not.toContain('pw');
    },
  );

  it('from https to http', () => {
    expect(() => nextUrl('http://a/', new URL('https://b/'))).toThrow('from https to http');
    expect(nextUrl('/c', new URL('https://b/x')).href).toBe('https://b/c');
  });

  it.each(['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0'])(
    'from another machine to %s here',
    async (host) => {
      const store = await files();
      const reach = async (): Promise<number | undefined> => {
        const asked = ask(new URL(`http://${host}:${String(store.port)}/`), {
          method: 'GET',
          headers: {},
          connectSeconds: 5,
          silentSeconds: 5,
          signal: new AbortController().signal,
          farOnly: true,
        });
        asked.request.end();
        return (await asked.answer).statusCode;
      };
      await expect(reach()).rejects.toMatchObject({
        refusal: { status: 502, code: 'RELAY_REDIRECT_REFUSED' },
      });
      expect(store.seen).toEqual([]);
    },
  );
});

it('says so where the place of the archive is gone', async () => {
  const store = await files();
  const target = await serve(redirect(`${store.url}/s?signature=abc`));
  await store.close();
  const { status, code, text } = await call(await relayTo(target.url), { path: ARCHIVE });
  expect([status, code]).toEqual([502, 'RELAY_TARGET_UNREACHABLE']);
  expect(text).not.toContain('signature');
});
