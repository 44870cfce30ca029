import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { APIConnectionError, APIResponseValidationError, AuthenticationError } from '../errors.ts';
import { ServiceClient } from '../service-client.ts';
import { createAuthToken, expiryOf } from './auth-token.ts';
import { FAST } from './testing-replay.ts';

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
/** A token as servers make it: header, claims, signature. */
const tokenOf = (exp: number, id = 0): string =>
  `${base64({ alg: 'x' })}.${base64({ exp, id, name: 'é' })}.c2ln`;

describe('a token', () => {
  it('says when it expires, or not', () => {
    expect(expiryOf(tokenOf(1234))).toBe(1234);
    for (const text of [
      '',
      'x',
      'a.b.c',
      `a.${base64([])}.c`,
      `a.${base64({ exp: 'soon' })}.c`,
      `a.${base64(null)}.c`,
    ])
      expect(expiryOf(text)).toBeNull();
  });

  it('is exchanged a minute before it expires, once for all who ask', async () => {
    let now = 1_000_000;
    let given = 0;
    const token = createAuthToken({
      now: () => now * 1000,
      exchange: async () => tokenOf(now + 600, ++given),
    });
    const [a, b] = await Promise.all([token(), token()]);
    expect([a, given]).toEqual([b, 1]);
    now += 539;
    expect(await token()).toBe(a);
    now += 1;
    expect(await token()).not.toBe(a);
    expect(given).toBe(2);
  });

  it('is used on while it lasts when it cannot be exchanged, and no longer', async () => {
    let now = 1_000_000;
    let failure: Error | null = null;
    const token = createAuthToken({
      now: () => now * 1000,
      exchange: () => (failure === null ? Promise.resolve(tokenOf(now + 100)) : Promise.reject(failure)),
    });
    const first = await token();
    failure = new APIConnectionError({ message: 'gone' });
    now += 50;
    expect(await token()).toBe(first);
    now += 51;
    await expect(token()).rejects.toBe(failure);
    failure = null;
    await token();
    failure = new AuthenticationError({ message: 'the key was taken back' });
    now += 50;
    await expect(token()).rejects.toBe(failure);
    const empty = createAuthToken({ exchange: () => Promise.resolve(undefined) });
    await expect(empty()).rejects.toBeInstanceOf(APIResponseValidationError);
  });
});

describe('a service whose config asks for tokens', () => {
  let server: Server | null = null;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  /** The keys that each route was asked with. */
  async function start(config: object, answers: Record<string, [number, object]> = {}) {
    const keys: [path: string, key: string | undefined][] = [];
    let tokens = 0;
    server = createServer((request, response) => {
      const path = (request.url ?? '').replace('/api/v1/', '');
      keys.push([path, request.headers['x-api-key'] as string | undefined]);
      const [status, body] = answers[path] ??
        {
          'client/config': [200, config] as const,
          'auth/token': [200, { jwt: tokenOf(Date.now() / 1000 + 3600, ++tokens) }] as const,
          create_session: [200, { session_id: 's' }] as const,
          'training_runs/r': [404, { detail: 'none' }] as const,
        }[path] ?? [404, { detail: 'Not found' }];
      request.resume();
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const baseUrl = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const backend = {
      baseUrl,
      apiKey: 'tml-key',
      dialect: 'tinker',
      timing: { ...FAST, heartbeatSeconds: 60 },
    } as const;
    return { keys, service: new ServiceClient({ backend, env: {}, onWarning: () => undefined }) };
  }

  it('gets the key at auth/token alone, and the token everywhere else', async () => {
    const { keys, service } = await start({ pjwt_auth_enabled: true });
    await service.capabilities();
    await service
      .createRestClient()
      .getTrainingRun('r')
      .catch(() => undefined);
    const seen = Object.fromEntries(keys);
    expect(seen['client/config']).toBe('tml-key');
    expect(seen['auth/token']).toBe('tml-key');
    expect(seen['create_session']).toMatch(/^eyJ/);
    expect(seen['training_runs/r']).toBe(seen['create_session']);
    expect(keys.filter(([path]) => path === 'auth/token')).toHaveLength(1);
    await service.close();
  });

  it('is told by its refusal, without the key in the message', async () => {
    const { service } = await start(
      { pjwt_auth_enabled: true },
      { 'auth/token': [401, { detail: 'bad key tml-key' }] },
    );
    const error = await service.capabilities().catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AuthenticationError);
    expect((error as Error).message).not.toContain('tml-key');
    await service.close();
  });

  it('gets the key as before where the config does not ask, and may have no changing config', async () => {
    const { keys, service } = await start({ pjwt_auth_enabled: false, parallel_fwdbwd_chunks: true });
    await service.capabilities();
    expect(keys).toEqual([
      ['client/config', 'tml-key'],
      ['client/dynamic_config', 'tml-key'],
      ['create_session', 'tml-key'],
    ]);
    await service.close();
  });
});
