/** Archives: signed addresses, streams, parts of them, and streams that break off. */
import { describe, expect, it } from 'vitest';
import { ServiceClient } from '../api/service-client.ts';
import type { Backend, DownloadRequest } from '../api/backend.ts';
import type { BigramBackend } from '../api/testing-bigram-backend.ts';
import { createArchiveLinks } from './archive-links.ts';
import { serve, type Served } from './testing-serve.ts';

const BYTES = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251);

/** A backend whose archives are these bytes; `breakAt` ends the stream with an error there. */
const withArchive =
  (breakAt: number | null, asked: DownloadRequest[]) =>
  (backend: BigramBackend): BigramBackend => {
    const download: Backend['registry']['download'] = (_, request) => {
      asked.push(request);
      let at = request.from;
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (breakAt !== null && at >= breakAt) controller.error(new Error('The disk is gone.'));
          else if (at >= BYTES.length) controller.close();
          else controller.enqueue(BYTES.slice(at, (at += 10_000)));
        },
      });
      return Promise.resolve({ body, totalBytes: null, from: request.from, fileName: 'a.tar', sha256: null });
    };
    Object.assign(backend.registry, { download });
    return backend;
  };

async function saved({ model, result }: Served): Promise<string> {
  const id = await model();
  await result('save_weights_for_sampler', { model_id: id, seq_id: 1, path: 'a' });
  return id;
}

describe('an archive', () => {
  it('is led to, needs no key, and comes whole or from a byte on', async () => {
    const asked: DownloadRequest[] = [];
    const apiKey = 'tml-secret-key';
    const served = await serve({ apiKey }, {}, withArchive(null, asked));
    const headers = { 'X-API-Key': apiKey, 'Content-Type': 'application/json' };
    const post = async (path: string, body: unknown): Promise<Record<string, unknown>> =>
      (await served.call(path, body, { method: 'POST', headers, body: JSON.stringify(body) })).body;
    const { session_id: session } = await post('create_session', {});
    const made = await post('create_model', {
      session_id: session,
      model_seq_id: 0,
      base_model: 'bigram',
      lora_config: { rank: 4 },
    });
    const { model_id: id } = await post('retrieve_future', { request_id: made['request_id'] });
    const save = await post('save_weights_for_sampler', { model_id: id, seq_id: 1, path: 'a' });
    await post('retrieve_future', { request_id: save['request_id'] });

    for (const name of ['a', 'sampler_weights/a']) {
      const route = `training_runs/${String(id)}/checkpoints/${name}/archive`;
      expect((await served.call(route)).status).toBe(401);
      const led = await served.call(route, undefined, { headers });
      expect(led.status).toBe(302);
      const address = led.headers.get('location') ?? '';
      expect(Date.parse(led.headers.get('expires') ?? '')).toBeGreaterThan(Date.now() + 7_000_000);
      const whole = await fetch(address);
      expect(whole.status).toBe(200);
      expect(new Uint8Array(await whole.arrayBuffer())).toEqual(BYTES);
      const rest = await fetch(address, { headers: { Range: 'bytes=299990-' } });
      expect(rest.status).toBe(206);
      expect(rest.headers.get('content-range')).toBe('bytes 299990-299999/300000');
      expect(rest.headers.get('content-length')).toBe('10');
      expect(new Uint8Array(await rest.arrayBuffer())).toEqual(BYTES.slice(299_990));
      expect((await fetch(address, { headers: { Range: 'bytes=300000-' } })).status).toBe(416);
      expect((await fetch(address, { headers: { Range: 'bytes=0-5' } })).status).toBe(200);
      expect((await fetch(address.replace(/signature=./, 'signature=x'))).status).toBe(403);
      expect((await fetch(address.replace('/a/download', '/b/download'))).status).toBe(403);
      expect((await fetch(address.replace(/\?.*/, ''))).status).toBe(403);
    }
    expect(asked.every(({ format, layout }) => format === 'tar' && layout === 'tinker')).toBe(true);
    const none = await served.call(`training_runs/${String(id)}/checkpoints/none/archive`, undefined, {
      headers,
    });
    expect(none.status).toBe(404);
  });

  it('that breaks off ends the connection, so nobody takes it for whole', async () => {
    const served = await serve({}, {}, withArchive(100_000, []));
    const id = await saved(served);
    const led = await served.call(`training_runs/${id}/checkpoints/a/archive`);
    const response = await fetch(led.headers.get('location') ?? '');
    await expect(response.arrayBuffer()).rejects.toThrow('terminated');
    expect((await served.call('healthz')).status).toBe(200);
  });

  it('is streamed to our own clients', async () => {
    const served = await serve({}, {}, withArchive(null, []));
    const id = await saved(served);
    const service = new ServiceClient({
      backend: { baseUrl: served.server.url },
      env: {},
      onWarning: () => undefined,
    });
    const { bytes } = await service
      .createRestClient()
      .downloadCheckpointArchive(`tinker://${id}/sampler_weights/a`);
    expect(bytes).toEqual(BYTES);
    await service.close();
  });
});

it('addresses run out', () => {
  let now = 1_000_000;
  const links = createArchiveLinks(60, () => now);
  const { expires, signature } = links.sign('a');
  links.check('a', String(expires), signature);
  now += 61_000;
  expect(() => links.check('a', String(expires), signature)).toThrow('expired');
  expect(() => links.check('a', undefined, undefined)).toThrow('not signed');
});
