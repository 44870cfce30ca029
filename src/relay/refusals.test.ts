/** Who and what the relay refuses: other origins, other names, tricks in paths, bodies without end. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isOwnHost, readOrigin } from './origin.ts';
import { readPath } from './path.ts';
import { startRelay } from './relay.ts';
import { isNearAddress, readTarget } from './target.ts';
import { begin, call, echo, PAGE, raw, readAll, relayTo } from './testing-target.ts';

describe('origins', () => {
  it.each([
    'http://evil.example',
    'http://127.0.0.1:4174',
    'http://localhost:4173',
    'https://127.0.0.1:4173',
    'http://127.0.0.1:4173.evil.example',
    'null',
    '*',
    '',
    `${PAGE}, http://evil.example`,
    `${PAGE}/`,
  ])('%j is refused', async (origin) => {
    const target = await echo();
    const { status, code, headers } = await call(await relayTo(target.url), { headers: { origin } });
    expect([status, code]).toEqual([403, 'RELAY_ORIGIN_REFUSED']);
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(target.seen).toEqual([]);
  });

  it('a request without one is refused: an image of any page is such a request', async () => {
    const target = await echo();
    const relay = await relayTo(target.url);
    const text = await raw(
      relay.port,
      `GET /api/v1/x HTTP/1.1\r\nHost: 127.0.0.1:${String(relay.port)}\r\nConnection: close\r\n\r\n`,
    );
    expect(text).toMatch(/^HTTP\/1.1 403 [^]*RELAY_ORIGIN_REFUSED/);
    expect(target.seen).toEqual([]);
  });

  it.each(['*', 'null', '127.0.0.1:4173', 'http://a/b', 'http://a b', 'file:///a', 'http://u:p@a', ''])(
    'the option refuses %j',
    (text) => expect(() => readOrigin(text)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' })),
  );
});

describe('the Host header', () => {
  it('of another name is refused, so that no name can be pointed here', async () => {
    const target = await echo();
    const relay = await relayTo(target.url);
    const port = String(relay.port);
    for (const host of [
      `evil.example:${port}`,
      '127.0.0.1',
      '127.0.0.1:1',
      `127.0.0.1.evil.example:${port}`,
    ]) {
      const { status, code } = await call(relay, { headers: { host } });
      expect([host, status, code]).toEqual([host, 403, 'RELAY_HOST_REFUSED']);
    }
    const old = `GET /api/v1/x HTTP/1.0\r\nOrigin: ${PAGE}\r\n\r\n`;
    expect(await raw(relay.port, old)).toMatch(/^HTTP\/1.1 403 [^]*RELAY_HOST_REFUSED/);
    expect(target.seen).toEqual([]);
    expect((await call(relay, { headers: { host: `localhost:${port}` } })).status).toBe(200);
  });

  it('is told by address, name and port', () => {
    const own = (header: string, bound = '127.0.0.1'): boolean => isOwnHost(header, bound, 8788);
    expect(
      ['127.0.0.1:8788', 'localhost:8788', 'LocalHost:8788', '[::1]:8788'].filter((h) => !own(h)),
    ).toEqual([]);
    expect(
      ['a@127.0.0.1:8788', '127.1:8788', '127.0.0.1:8788/x', '10.0.0.1:8788', '::1:8788'].filter((h) =>
        own(h),
      ),
    ).toEqual([]);
    expect(own('box.lan:8788', 'box.lan')).toBe(true);
    expect(own('evil.example:8788', '0.0.0.0')).toBe(false);
    const mine = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    for (const { address, family } of mine) {
      expect(own(`${family === 'IPv6' ? `[${address}]` : address}:8788`, '0.0.0.0')).toBe(true);
    }
    expect(isOwnHost('localhost', '127.0.0.1', 80)).toBe(true);
    expect(isOwnHost(undefined, '127.0.0.1', 80)).toBe(false);
  });
});

const PATHS = [
  '/',
  '/api/v1/../secret',
  '/api/v1/..',
  '/api/v1/./x',
  '/api/v1/%2e%2e/secret',
  '/api/v1/.%2E/secret',
  '/api/v1/%2e/x',
  '/api/v1/a%2fb',
  '/api/v1/a%2Fb',
  '/api/v1/a%5cb',
  '/api/v1/a\\b',
  '/api/v1/%252e%252e/x',
  '/api/v1/a%00b',
  '/api/v1/a%0d%0ab',
  '/api/v1/%zz',
  '/api/v1/%ff',
  '/api/v1//x',
  '/api/v1/',
  '/api/v1/x#y',
  '//evil.example/api/v1/x',
  'http://evil.example/api/v1/x',
  'http://127.0.0.1:4173/api/v1/x',
  '*',
  '@evil.example/api/v1/x',
];
const NOT_FOUND = [
  '/api/v1',
  '/api/v2/x',
  '/api/2.0/preview/x',
  '/API/v1/x',
  '/docs',
  '/x/api/v1/y',
  '/healthz/x',
];

describe('paths', () => {
  it('that could be read as another are refused, and reach no server', async () => {
    const target = await echo();
    const relay = await relayTo(target.url);
    const ask = (path: string): Promise<string> =>
      raw(
        relay.port,
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${String(relay.port)}\r\nOrigin: ${PAGE}\r\nConnection: close\r\n\r\n`,
      );
    for (const path of PATHS) expect(await ask(path), path).toMatch(/^HTTP\/1.1 40[04] /);
    for (const path of NOT_FOUND)
      expect(await ask(path), path).toMatch(/^HTTP\/1.1 404 [^]*RELAY_PATH_REFUSED/);
    expect(await ask(`/api/v1/${'a'.repeat(9000)}`)).toMatch(/^HTTP\/1.1 414 /);
    expect(target.seen).toEqual([]);
    expect(await ask('/api/v1/training_runs/m%3Atrain%3A0/x-1_2.3?a=/..%2f')).toMatch(/^HTTP\/1.1 200 /);
  });

  it('that are taken mean the same to a URL parser', () => {
    const part = fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '%2e',
        '%2F',
        '%',
        '',
        'a',
        '\\',
        '?',
        '#',
        ':',
        '@',
        ';',
        '%25',
        '//',
        'é',
        ' ',
      ),
      fc.string({ maxLength: 5 }),
    );
    const path = fc
      .tuple(fc.constantFrom('/api/v1/', '/api/2.0/mlflow/', '/', ''), fc.array(part, { maxLength: 6 }))
      .map(([prefix, parts]) => prefix + parts.join('/'));
    let taken = 0;
    fc.assert(
      fc.property(path, (text) => {
        const read = readPath(text);
        if ('status' in read) return;
        taken += 1;
        const url = new URL(`http://target:1/prefix${read.pathname}${read.query}`);
        expect(url.origin).toBe('http://target:1');
        expect(url.pathname.startsWith('/prefix/api/')).toBe(true);
        expect(url.pathname.split('/')).toHaveLength(read.pathname.split('/').length + 1);
        expect(url.hash).toBe('');
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(200);
  });
});

describe('bodies', () => {
  it.each([
    ['announced', { 'content-length': '2000' }],
    ['chunked', { 'transfer-encoding': 'chunked' }],
  ])('that are too large are refused: %s', async (_, headers) => {
    const target = await echo();
    const relay = await relayTo(target.url, { maxBodyBytes: 1000 });
    const o = { method: 'POST', path: '/api/v1/x', headers: headers as Record<string, string> };
    const { status, code, headers: back } = await call(relay, { ...o, body: 'x'.repeat(2000) });
    expect([status, code]).toEqual([413, 'RELAY_BODY_TOO_LARGE']);
    expect(back['access-control-allow-origin']).toBe(PAGE);
    expect((await call(relay, { method: 'POST', path: '/api/v1/x', body: 'x'.repeat(1000) })).status).toBe(
      200,
    );
  });

  it('of requests that read are refused', async () => {
    const relay = await relayTo((await echo()).url);
    const { status, code } = await call(relay, { headers: { 'content-length': '1' }, body: 'x' });
    expect([status, code]).toEqual([400, 'RELAY_BODY_REFUSED']);
  });

  it('are asked for only where they are taken', async () => {
    const relay = await relayTo((await echo()).url, { maxBodyBytes: 10 });
    const head = (length: number): string =>
      `POST /api/v1/x HTTP/1.1\r\nHost: 127.0.0.1:${String(relay.port)}\r\nOrigin: ${PAGE}\r\n` +
      `Expect: 100-continue\r\nContent-Length: ${String(length)}\r\nConnection: close\r\n\r\n`;
    expect(await raw(relay.port, head(11), 500)).toMatch(/^HTTP\/1.1 413 /);
    expect(await raw(relay.port, head(10), 500)).toMatch(/^HTTP\/1.1 100 /);
  });
});

it('other methods are refused', async () => {
  const { status, code } = await call(await relayTo('http://127.0.0.1:9'), { method: 'TRACE' });
  expect([status, code]).toEqual([405, 'RELAY_METHOD_REFUSED']);
});

describe('where it listens', () => {
  it('is this machine alone, unless it is told otherwise twice', async () => {
    const options = { target: 'http://127.0.0.1:9', allowOrigin: PAGE, port: 0 };
    for (const host of ['0.0.0.0', '::', '192.168.1.1', 'example.com']) {
      await expect(startRelay({ ...options, host })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    }
    const relay = await relayTo('http://127.0.0.1:9');
    const others = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ internal, family }) => !internal && family === 'IPv4');
    for (const { address } of others) {
      await expect(fetch(`http://${address}:${String(relay.port)}/healthz`)).rejects.toThrow('fetch failed');
    }
    const wide = await relayTo('http://127.0.0.1:9', { host: '0.0.0.0', expose: true });
    const [first] = others;
    const url = `http://${first?.address ?? '127.0.0.1'}:${String(wide.port)}/healthz`;
    expect((await fetch(url)).status).toBe(200);
  });

  it('must be free', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await expect(relayTo('http://127.0.0.1:9', { port })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: `The relay cannot listen on 127.0.0.1, port ${String(port)} (EADDRINUSE).`,
    });
    await new Promise((resolve) => server.close(resolve));
  });
});

it.each(['', 'gpu-box:8000', 'ftp://a', 'http://user:tml-key@a', 'http://a?key=tml-key', 'http://a#tml-key'])(
  '%j is no target, and no key is repeated',
  (text) => {
    expect(() => readTarget(text)).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }));
    expect(() => readTarget(text)).not.toThrow(/tml-/);
  },
);

it('knows the addresses of this machine', () => {
  const near = [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.169.254',
    '::1',
    '::',
    'fe80::1',
    '::ffff:127.0.0.1',
  ];
  expect(near.filter((address) => !isNearAddress(address))).toEqual([]);
  expect(['10.0.0.1', '8.8.8.8', '2001:db8::1', 'localhost'].filter(isNearAddress)).toEqual([]);
});

it('a refused body does not tear the connection before the refusal is read', async () => {
  const relay = await relayTo((await echo()).url, { maxBodyBytes: 2 ** 16 });
  // Larger than what the sockets hold, so that the refusal comes while the body is on its way.
  const response = await begin(relay, {
    method: 'POST',
    path: '/api/v1/x',
    body: Buffer.alloc(64 * 2 ** 20),
  });
  expect(response.statusCode).toBe(413);
  expect((await readAll(response)).toString()).toContain('RELAY_BODY_TOO_LARGE');
});
