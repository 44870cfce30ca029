/** Who may call, and what bodies, paths and names are taken. */
import { request as httpRequest } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createBigramBackend } from '../api/testing-bigram-backend.ts';
import { hostName } from './guard.ts';
import { startServer } from './server.ts';
import { passBody, serve } from './testing-serve.ts';

/** A request with headers that fetch does not let one set. */
function raw(port: number, headers: Record<string, string>, path = '/api/v1/sessions'): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest({ host: '127.0.0.1', port, path, headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

describe('who may call', () => {
  it('addresses the server by its own names: others may point here from anywhere', async () => {
    const { server } = await serve({ allowedHosts: ['gpu-box'] });
    const { port } = server;
    for (const host of [`127.0.0.1:${String(port)}`, 'localhost', '[::1]:80', 'LOCALHOST:1', 'gpu-box'])
      expect(await raw(port, { Host: host }), host).toBe(200);
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost@evil', 'a b', '127.0.0.1:x'])
      expect(await raw(port, { Host: host }), host).toBe(403);
    expect(hostName('[::1]:8000')).toBe('::1');
  });

  it('is no page, unless it was named', async () => {
    const { server } = await serve({ allowedOrigins: ['http://localhost:4173'] });
    const at = (origin: Record<string, string>) => raw(server.port, { Host: 'localhost', ...origin });
    expect(await at({ Origin: 'http://localhost:4173' })).toBe(200);
    for (const origin of ['http://evil.example', 'null', 'http://localhost:4174'])
      expect(await at({ Origin: origin }), origin).toBe(403);
    expect(await at({ 'Sec-Fetch-Site': 'cross-site' })).toBe(403);
  });

  it('has the key where one is asked for', async () => {
    const apiKey = 'tml-secret-key';
    const { call, server } = await serve({ apiKey });
    expect((await call('healthz')).status).toBe(200);
    expect((await call('sessions')).status).toBe(401);
    expect((await call('sessions', undefined, { headers: { 'X-API-Key': 'tml-other' } })).status).toBe(401);
    expect((await call('sessions', undefined, { headers: { 'X-API-Key': apiKey } })).status).toBe(200);
    expect(
      (await call('sessions', undefined, { headers: { Authorization: `Bearer ${apiKey}` } })).status,
    ).toBe(200);
    expect(await raw(server.port, { Host: 'localhost' }, '/openapi.json')).toBe(401);
  });

  it('cannot be somebody on another machine without a key', async () => {
    const backend = createBigramBackend();
    await expect(startServer(backend, { host: '0.0.0.0' })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    await expect(startServer(backend, { apiKey: 'short' })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    const { server } = await serve();
    await expect(startServer(backend, { port: server.port })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
  });
});

describe('bodies', () => {
  it.each([
    ['no JSON', '{"a"', 'application/json', 400],
    ['not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'application/json', 400],
    ['of a type that pages may send', '{}', 'text/plain', 415],
    ['of another shape', '[1]', 'application/json', 422],
    ['null', 'null', 'application/json', 422],
    ['nested deeply', '['.repeat(200_000), 'application/json', 400],
    ['protobuf where none is read', Uint8Array.of(1, 2), 'application/x-protobuf', 415],
  ])('that are %s are refused', async (_, body, type, status) => {
    const { call } = await serve();
    const answer = await call('create_session', undefined, {
      method: 'POST',
      headers: { 'Content-Type': type },
      body,
    });
    expect(answer.status).toBe(status);
    expect(answer.body).toHaveProperty('detail');
  });

  it.each([
    ['broken', Uint8Array.of(0x0a, 0x7f)],
    ['empty', new Uint8Array(0)],
    ['random', Uint8Array.from({ length: 200 }, (_, i) => (i * 97) % 256)],
  ])('in protobuf that are %s are refused', async (_, body) => {
    const { call } = await serve();
    const headers = { 'Content-Type': 'application/x-protobuf' };
    const { status } = await call('forward_backward', undefined, { method: 'POST', headers, body });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  });

  it('are limited before and after decompression', async () => {
    const { call, session } = await serve({ limits: { maxBody: 2000 } });
    const send = (body: Uint8Array | string, headers: Record<string, string> = {}) =>
      call('session_heartbeat', undefined, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: body as RequestInit['body'] & object,
      });
    const id = await session();
    const good = JSON.stringify({ session_id: id });
    expect((await send(gzipSync(good), { 'Content-Encoding': 'gzip' })).status).toBe(200);
    const large = JSON.stringify({ session_id: 'x'.repeat(100_000) });
    expect((await send(large)).status).toBe(413);
    expect((await send(gzipSync(large), { 'Content-Encoding': 'gzip' })).status).toBe(413);
    expect((await send(good, { 'Content-Encoding': 'gzip' })).status).toBe(400);
    expect((await send(good, { 'Content-Encoding': 'br' })).status).toBe(415);
    expect((await send(good)).status).toBe(200);
  });
});

describe('paths and names', () => {
  it.each([
    ['DELETE', 'training_runs/%2e%2e/checkpoints/weights/x', 400],
    ['DELETE', 'training_runs/a%2Fb/checkpoints/weights/x', 400],
    ['DELETE', 'training_runs/a/checkpoints/weights/%00', 400],
    ['DELETE', 'training_runs/a/checkpoints/weights/%ff', 400],
    ['DELETE', 'training_runs/a/checkpoints/other/x', 404],
    ['DELETE', 'training_runs/a/checkpoints/weights/none', 404],
    ['GET', 'training_runs/nobody', 404],
    ['GET', 'training_runs?limit=x', 422],
    ['GET', 'training_runs?limit=-1', 422],
    ['GET', 'checkpoints?offset=1e99', 422],
    ['GET', '../../etc/passwd', 404],
    ['GET', 'nothing', 404],
    ['GET', 'create_model', 405],
    ['GET', 'samplers/none', 404],
  ])('%s %s is answered %i %i', async (method, path, status) => {
    const { server } = await serve();
    const answered = await new Promise<number>((resolve, reject) => {
      httpRequest({ host: '127.0.0.1', port: server.port, method, path: `/api/v1/${path}` }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on('error', reject)
        .end();
    });
    expect(answered).toBe(status);
  });

  it.each(['../up', 'a/b', '', '.hidden', 'x'.repeat(300), 'a b', 'ä'])(
    'refuse the name %j',
    async (name) => {
      const { call, model, result } = await serve();
      const id = await model();
      expect((await call('save_weights', { model_id: id, seq_id: 1, path: name })).status).toBe(400);
      expect((await call('save_weights_for_sampler', { model_id: id, seq_id: 2, path: name })).status).toBe(
        400,
      );
      expect(await result('forward_backward', passBody(id, 3))).toHaveProperty('metrics');
    },
  );
});
