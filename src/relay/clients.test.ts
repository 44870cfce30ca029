/** The clients with a `relayUrl`, against the recorded answers of a real server: nothing is lost on the way. */
import { expect, it } from 'vitest';
import { NotFoundError } from '../api/errors.ts';
import { archiveOf, FAST, startReplay, VERSIONS, type ReplayServer } from '../api/remote/testing-replay.ts';
import { dataOf, firstClient } from '../api/remote/testing-remote.ts';
import { ServiceClient } from '../api/service-client.ts';
import { createBigramBackend } from '../api/testing-bigram-backend.ts';
import { startServer } from '../serve/server.ts';
import { PAGE, relayTo, serve } from './testing-target.ts';

/** A page's fetch: its origin goes with every request. Notes the addresses. */
function pageFetch() {
  const asked: string[] = [];
  const fetch: typeof globalThis.fetch = (url, init) => {
    asked.push(new URL(url as string).origin);
    return globalThis.fetch(url, {
      ...init,
      headers: { ...(init?.headers as Record<string, string>), Origin: PAGE },
    });
  };
  return { fetch, asked };
}

async function program(service: ServiceClient): Promise<unknown[]> {
  const seen: unknown[] = [];
  const client = await firstClient(service);
  seen.push(await client.saveState('step-0001', {}));
  seen.push(await service.createRestClient().listCheckpoints(client.runId));
  const path = 'tinker://model_00000001/sampler_weights/s1';
  const { sha256, fileName, bytes } = await service.createRestClient().downloadCheckpointArchive(path);
  seen.push(sha256, fileName, Buffer.from(bytes ?? []).equals(archiveOf(version)));
  seen.push(
    await service
      .createRestClient()
      .getTrainingRun('none')
      .catch((e: unknown) => e instanceof NotFoundError),
  );
  return seen;
}

let version: (typeof VERSIONS)[number] = VERSIONS[0];
it.each(VERSIONS)('%s answers the same through the relay', async (which) => {
  version = which;
  const both: unknown[] = [];
  const headers: ReplayServer['seen'] = [];
  for (const through of [false, true]) {
    const server = await startReplay(which);
    const { fetch, asked } = pageFetch();
    const relay = through ? await relayTo(server.url, { apiKey: 'tml-relay' }) : null;
    const service = new ServiceClient({
      backend: {
        baseUrl: server.url,
        timing: FAST,
        fetch,
        ...(relay === null ? {} : { relayUrl: relay.url }),
      },
      env: {},
      onWarning: () => undefined,
    });
    both.push(await program(service));
    expect(new Set(asked)).toEqual(new Set([relay?.url ?? server.url]));
    if (through) headers.push(...server.seen);
    await service.close();
    await server.close();
  }
  expect(both[0]).toEqual(both[1]);
  expect(headers.length).toBeGreaterThan(10);
  for (const { headers: h } of headers) expect(h['x-api-key']).toBe('tml-relay');
  const once = headers.filter(({ path }) => /create_(session|model)|save_weights/.test(path));
  expect(once).toHaveLength(3);
  for (const { headers: h } of once) expect(h['x-idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  const poll = headers.find(({ path }) => path.endsWith('retrieve_future'));
  expect(poll?.headers['x-tinker-request-iteration']).toBeDefined();
});

it('a request that found no server is sent again, also where it may not be sent twice', async () => {
  const server = await startReplay('skyrl-0.3.0');
  // The relay's answer when the server is away for a moment, as a server restarting is.
  let away = 2;
  const gate = await serve((request, response) => {
    void (async () => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      if (request.url?.endsWith('/forward_backward') === true && away > 0) {
        away -= 1;
        response.writeHead(502, { 'content-type': 'application/json' });
        return response.end(
          '{"detail":"The server cannot be reached (ECONNREFUSED).","code":"RELAY_TARGET_UNREACHABLE"}',
        );
      }
      const answer = await fetch(`${server.url}${request.url ?? ''}`, {
        method: request.method ?? 'GET',
        headers: { 'content-type': 'application/json' },
        ...(parts.length > 0 ? { body: Buffer.concat(parts).toString() } : {}),
      });
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      return response.end(await answer.text());
    })();
  });
  const { fetch } = pageFetch();
  const service = new ServiceClient({
    backend: { baseUrl: server.url, relayUrl: gate.url, timing: FAST, fetch },
    env: {},
    onWarning: () => undefined,
  });
  const client = await firstClient(service);
  await client.forwardBackward(dataOf('skyrl-0.3.0', 24), 'cross_entropy');
  expect([away, gate.seen.filter(({ url }) => url.endsWith('/forward_backward')).length]).toEqual([0, 3]);
  await service.close();
  await server.close();
});

it('a server of our own, with a key, is reached by the relay that has it: trains, saves, archives', async () => {
  const key = 'tml-of-the-server';
  const backend = createBigramBackend();
  const server = await startServer(backend, { apiKey: key });
  const relay = await relayTo(server.url, { apiKey: key });
  const { fetch } = pageFetch();
  const service = new ServiceClient({
    backend: { baseUrl: server.url, relayUrl: relay.url, timing: FAST, fetch },
    env: {},
    onWarning: () => undefined,
  });
  const client = await service.createLoraTrainingClient('bigram', { rank: 4, seed: 9 });
  const data = [
    {
      modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: [1, 2, 3] }] },
      lossFnInputs: { targetTokens: [2, 3, 4] },
    },
  ];
  const first = client.forwardBackward(data, 'cross_entropy');
  void client.optimStep({ learningRate: 0.1 });
  const second = client.forwardBackward(data, 'cross_entropy');
  const loss = (metrics: Record<string, number> | undefined): number => metrics?.['loss:sum'] ?? NaN;
  expect(loss((await second).metrics)).toBeLessThan(loss((await first).metrics));
  const { path } = await client.saveWeightsForSampler('s');
  const archive = await service.createRestClient().downloadCheckpointArchive(path);
  expect(archive.sizeBytes).toBeGreaterThan(0);
  expect(archive.bytes?.byteLength).toBe(archive.sizeBytes);
  await service.close();
  await server.close();
  await backend.close();
});
