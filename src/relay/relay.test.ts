/** What the relay hands on in both directions, and what stays behind. */
import { describe, expect, it } from 'vitest';
import { call, echo, PAGE, readAll, relayTo, serve } from './testing-target.ts';

const KEY = 'tml-secret-key';

describe('a request', () => {
  it('arrives with its method, path, query, body and the listed headers only', async () => {
    const target = await echo();
    const relay = await relayTo(`${target.url}/services/tinker-prod/`);
    const headers = {
      'x-api-key': 'tml-of-the-page',
      'x-idempotency-key': 'i-1',
      'x-tinker-request-iteration': '3',
      'x-tinker-request-type': 'ForwardBackward',
      accept: 'application/x-protobuf',
      'content-type': 'application/x-protobuf',
      'content-encoding': 'zstd',
    };
    const others = {
      cookie: 'a=b',
      referer: `${PAGE}/x`,
      authorization: 'Bearer b',
      'accept-encoding': 'gzip, br',
      'x-forwarded-for': '10.0.0.1',
      te: 'trailers',
    };
    const body = Buffer.from([0, 1, 2, 255]);
    const { status, text } = await call(relay, {
      method: 'POST',
      path: '/api/v1/forward_backward?a=b%2Fc&d=%20',
      headers: { ...headers, ...others },
      body,
    });
    expect([status, JSON.parse(text)]).toEqual([200, { got: body.toString('latin1') }]);
    expect(target.seen).toEqual([
      {
        method: 'POST',
        url: '/services/tinker-prod/api/v1/forward_backward?a=b%2Fc&d=%20',
        headers: {
          ...headers,
          host: `127.0.0.1:${String(target.port)}`,
          'user-agent': 'lorikeet-relay',
          'accept-encoding': 'identity',
          'content-length': '4',
          connection: 'close',
        },
      },
    ]);
  });

  it.each(['PUT', 'PATCH', 'DELETE', 'HEAD'])('may be %s', async (method) => {
    const target = await echo();
    const { status } = await call(await relayTo(target.url), { method, path: '/api/v1/x' });
    expect([status, target.seen[0]?.method]).toEqual([200, method]);
  });

  it("carries the relay's key, in place of the page's, and never to MLflow", async () => {
    const target = await echo();
    const relay = await relayTo(target.url, { apiKey: KEY });
    await call(relay);
    await call(relay, { headers: { 'x-api-key': 'of the page' } });
    const mlflow = { path: '/api/2.0/mlflow/runs/create', headers: { authorization: 'Bearer t' } };
    await call(relay, { ...mlflow, headers: { ...mlflow.headers, 'x-api-key': 'of the page' } });
    const keys = target.seen.map(({ headers }) => [headers['x-api-key'], headers.authorization]);
    expect(keys).toEqual([
      [KEY, undefined],
      [KEY, undefined],
      [undefined, 'Bearer t'],
    ]);
  });
});

describe('an answer', () => {
  it('comes back with the listed headers, readable for the page and kept by nobody', async () => {
    const target = await serve((_, response) => {
      response.writeHead(429, {
        'content-type': 'application/json',
        'retry-after': '7',
        expires: 'Thu, 01 Jan 2026 00:00:00 GMT',
        'content-disposition': 'attachment; filename="a.tar.gz"',
        'set-cookie': 'a=b',
        server: 'uvicorn',
        location: 'http://elsewhere/',
        'access-control-allow-origin': '*',
        'cache-control': 'public, max-age=1000',
      });
      response.end('{"detail":"slow down"}');
    });
    const { status, headers, text } = await call(await relayTo(target.url));
    const { date, ...rest } = headers;
    expect([status, text]).toEqual([429, '{"detail":"slow down"}']);
    expect(Date.parse(date ?? '')).toBeGreaterThan(0);
    expect(rest).toEqual({
      'content-type': 'application/json',
      'retry-after': '7',
      expires: 'Thu, 01 Jan 2026 00:00:00 GMT',
      'content-disposition': 'attachment; filename="a.tar.gz"',
      'access-control-allow-origin': PAGE,
      'access-control-expose-headers':
        'Expires, Retry-After, Content-Length, Content-Disposition, Content-Range, Accept-Ranges',
      vary: 'Origin',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      connection: 'keep-alive',
      'keep-alive': 'timeout=5',
      'transfer-encoding': 'chunked',
    });
  });

  it('that is packed comes back as it is', async () => {
    const target = await serve((_, response) => {
      response.writeHead(200, { 'content-encoding': 'zstd', 'content-length': '3' }).end('(/!');
    });
    const { headers, text } = await call(await relayTo(target.url));
    expect([headers['content-encoding'], headers['content-length'], text]).toEqual(['zstd', '3', '(/!']);
  });
});

describe('a preflight', () => {
  const ask = { 'access-control-request-method': 'POST' };
  it('is answered without the server, with the headers that pass', async () => {
    const target = await echo();
    const { status, headers } = await call(await relayTo(target.url), {
      method: 'OPTIONS',
      path: '/api/v1/asample',
      headers: {
        ...ask,
        'access-control-request-headers': 'content-type,x-api-key,x-tinker-request-type,x-other,cookie',
        'access-control-request-private-network': 'true',
      },
    });
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      'access-control-allow-origin': PAGE,
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
      'access-control-allow-headers': 'content-type, x-api-key, x-tinker-request-type',
      'access-control-allow-private-network': 'true',
      'access-control-max-age': '600',
      vary: 'Origin',
    });
    expect(target.seen).toEqual([]);
  });

  it('of another origin is refused, without a header that would let it through', async () => {
    const { status, headers } = await call(await relayTo('http://127.0.0.1:9'), {
      method: 'OPTIONS',
      headers: { ...ask, origin: 'http://evil.example', 'access-control-request-private-network': 'true' },
    });
    expect(status).toBe(403);
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
});

it('says that it is there', async () => {
  const relay = await relayTo('http://127.0.0.1:9');
  const answer = await fetch(`${relay.url}/healthz`);
  expect([answer.status, await answer.json()]).toEqual([200, { status: 'ok' }]);
});

it('tells of trouble without keys, queries or addresses', async () => {
  const lines: string[] = [];
  const target = await serve((request, response) => {
    void readAll(request).then(() => {
      response.writeHead(302, { location: 'http://a/?signature=s3cret' }).end();
    });
  });
  const options = { apiKey: KEY, onTrouble: (line: string) => lines.push(line) };
  const relay = await relayTo(target.url, options);
  await call(relay, { path: '/api/v1/a?token=s3cret', headers: { 'x-api-key': 's3cret' } });
  await call(relay, { path: '/api/v1/a?token=s3cret', headers: { origin: 'http://s3cret' } });
  await call(relay, { path: '/s3cret/%1b[31m', headers: { 'x-api-key': 's3cret' } });
  expect(lines).toHaveLength(3);
  for (const line of lines) expect(line).not.toMatch(/s3cret|tml-|http:|\[31m/);
});
