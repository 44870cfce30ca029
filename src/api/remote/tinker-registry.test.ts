/** Routes that the official service has and SkyRL has not, in the official dialect; downloads that break off. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { APIConnectionError } from '../errors.ts';
import { CheckpointNotFoundError, UnsupportedFeatureError } from '../own-errors.ts';
import { ServiceClient } from '../service-client.ts';
import { FAST } from './testing-replay.ts';

interface Seen {
  method: string;
  path: string;
  body: Record<string, unknown>;
  range: string | undefined;
}

const PATH = 'tinker://s:train:0/weights/a';
const ROUTE = 'training_runs/s%3Atrain%3A0/checkpoints';
const ROW = {
  checkpoint_id: 'weights/a',
  checkpoint_type: 'training',
  time: '2026-11-22T02:02:55Z',
  tinker_path: PATH,
  size_bytes: 10,
  public: true,
  expires_at: '2026-11-23T02:02:55Z',
};
const ARCHIVE = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 251);

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** A server with fixed answers by method and path; a missing one is 404. */
async function setUp(
  answers: Record<string, unknown>,
  cut: { times: number; ranges: boolean } | null = null,
) {
  const seen: Seen[] = [];
  const server: Server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const text = Buffer.concat(parts).toString();
      const path = (request.url ?? '').replace('/api/v1/', '');
      const { method = '', headers } = request;
      const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
      seen.push({ method, path, body, range: headers.range });
      if (path === '/file') {
        const wanted = Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0);
        const from = cut?.ranges === true ? wanted : 0;
        const rest = ARCHIVE.subarray(from);
        response.writeHead(from > 0 ? 206 : 200, { 'content-length': String(rest.length) });
        if (cut !== null && cut.times > 0) {
          cut.times -= 1;
          response.write(rest.subarray(0, Math.floor(rest.length / 2)), () => {
            // What was sent is read by then; what comes with the end of its connection may be lost.
            setTimeout(() => request.socket.destroy(), 300);
          });
        } else response.end(rest);
        return;
      }
      const { port } = server.address() as AddressInfo;
      const answer = answers[`${method} ${path}`];
      response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(
        answer === undefined
          ? '{"detail":"Not found"}'
          : JSON.stringify(answer).replaceAll('$URL', `http://127.0.0.1:${String(port)}`),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const service = new ServiceClient({
    backend: {
      baseUrl: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
      dialect: 'tinker',
      timing: { ...FAST, heartbeatSeconds: 60 },
    },
    projectId: 'project-1',
    env: {},
    onWarning: () => undefined,
  });
  open.push(async () => {
    await service.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const asked = (): string[] =>
    seen.map(({ method, path }) => `${method} ${path}`).filter((line) => !/config|create_session/.test(line));
  return { service, rest: service.createRestClient(), seen, asked };
}

const SESSION = { 'POST client/config': {}, 'POST create_session': { session_id: 's' } };

describe('the routes of the official service', () => {
  it('publish, take back, limit the life of and delete a checkpoint', async () => {
    const at = `${ROUTE}/weights/a`;
    const { rest, asked, seen } = await setUp({
      ...SESSION,
      [`POST ${at}/publish`]: {},
      [`DELETE ${at}/publish`]: {},
      [`PUT ${at}/ttl`]: {},
      [`DELETE ${at}`]: {},
    });
    await rest.publishCheckpointFromPath(PATH);
    await rest.unpublishCheckpointFromPath(PATH);
    await rest.setCheckpointTtl(PATH, 7200);
    await rest.setCheckpointTtl(PATH, null);
    await expect(rest.setCheckpointTtl(PATH, 60)).rejects.toThrow('whole seconds from 3600');
    await rest.deleteCheckpointFromPath(PATH);
    expect(asked()).toEqual([
      `POST ${at}/publish`,
      `DELETE ${at}/publish`,
      `PUT ${at}/ttl`,
      `PUT ${at}/ttl`,
      `DELETE ${at}`,
    ]);
    expect(seen.filter(({ method }) => method === 'PUT').map(({ body }) => body)).toEqual([
      { ttl_seconds: 7200 },
      { ttl_seconds: null },
    ]);
    await expect(rest.publish('tinker://s:train:0/weights/none')).rejects.toBeInstanceOf(
      CheckpointNotFoundError,
    );
  });

  it('list what all runs have, with their sizes, and what is stored', async () => {
    const { rest } = await setUp({
      ...SESSION,
      'GET checkpoints?limit=2&offset=4': { checkpoints: [ROW] },
      'GET checkpoints/storage_usage': { used_bytes: 10, quota_bytes: 100 },
      'GET training_runs?limit=20&offset=0&access_scope=accessible&project_id=p': {
        training_runs: [],
        cursor: { offset: 0, limit: 20, total_count: 0 },
      },
    });
    expect((await rest.listUserCheckpoints({ limit: 2, offset: 4 })).checkpoints[0]).toMatchObject({
      path: PATH,
      sizeBytes: 10,
      public: true,
      expiresAt: '2026-11-23T02:02:55Z',
      storage: 'remote',
    });
    expect(await rest.getCurrentCheckpointStorageUsage()).toMatchObject({ usedBytes: 10, quotaBytes: 100 });
    const runs = await rest.listTrainingRuns({ accessScope: 'accessible', projectId: 'p' });
    expect(runs.trainingRuns).toEqual([]);
  });

  it('hand the project, the token of others and the source of a copy on', async () => {
    const { service, rest, seen } = await setUp({
      ...SESSION,
      'POST weights_info': { base_model: 'x', is_lora: true, lora_rank: 8 },
      'POST copy_weights': { request_id: '7' },
      'POST retrieve_future': { path: 'tinker://s:train:1/weights/a' },
    });
    expect(await rest.getWeightsInfo(PATH, { weightsAccessToken: 'w' })).toMatchObject({ loraRank: 8 });
    expect(await service.copyWeights(PATH, { ttlSeconds: 3600, weightsAccessToken: 'w' })).toBe(
      'tinker://s:train:1/weights/a',
    );
    const bodyOf = (path: string) => seen.find((s) => s.path === path)?.body;
    expect(bodyOf('create_session')).toMatchObject({ project_id: 'project-1', type: 'create_session' });
    expect(bodyOf('weights_info')).toEqual({ tinker_path: PATH, weights_access_token: 'w' });
    expect(bodyOf('copy_weights')).toEqual({
      session_id: 's',
      model_seq_id: 0,
      source_path: PATH,
      ttl_seconds: 3600,
      weights_access_token: 'w',
    });
  });

  it('give sessions and samplers as they are, and the rest is refused by name', async () => {
    const { rest } = await setUp({
      ...SESSION,
      'GET sessions/s%2F1': { session_id: 's/1' },
      'GET sessions?limit=5&offset=10': { sessions: [] },
      'GET samplers/x': { base_model: 'b' },
    });
    expect(await rest.getSession('s/1')).toEqual({ session_id: 's/1' });
    expect(await rest.listSessions({ limit: 5, offset: 10 })).toEqual({ sessions: [] });
    expect(await rest.getSampler('x')).toEqual({ base_model: 'b' });
    await expect(rest.whoami()).rejects.toBeInstanceOf(UnsupportedFeatureError);
  });
});

describe('the archive of the official service', () => {
  const sampler = 'tinker://s:train:0/sampler_weights/a';
  const answers = {
    ...SESSION,
    [`GET ${ROUTE}/sampler_weights/a/archive`]: { url: '$URL/file', expires: '2026-11-22T04:02:55Z' },
  };

  it('goes on where it broke off, with its hash over all of it', async () => {
    const { rest, seen } = await setUp(answers, { times: 2, ranges: true });
    const { bytes, sha256, sizeBytes } = await rest.downloadCheckpointArchive(sampler);
    expect(bytes && Buffer.compare(bytes, ARCHIVE)).toBe(0);
    expect([sizeBytes, sha256]).toEqual([ARCHIVE.length, createHash('sha256').update(ARCHIVE).digest('hex')]);
    const ranges = seen.filter(({ path }) => path === '/file').map(({ range }) => range);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
    expect(ranges).toHaveLength(3);
  });

  it('begins anew where the server cannot go on, and not at all where that is not wanted', async () => {
    const { rest } = await setUp(answers, { times: 1, ranges: false });
    expect((await rest.downloadCheckpointArchive(sampler)).sizeBytes).toBe(ARCHIVE.length);
    const { rest: once } = await setUp(answers, { times: 1, ranges: true });
    await expect(once.downloadCheckpointArchive(sampler, { resume: false })).rejects.toBeInstanceOf(
      APIConnectionError,
    );
  });

  it('is given up with the signal of the caller', async () => {
    const { rest } = await setUp(answers, { times: 9, ranges: true });
    const stop = new AbortController();
    const loading = rest.downloadCheckpointArchive(sampler, {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('enough')),
    });
    await expect(loading).rejects.toThrow('enough');
  });
});
