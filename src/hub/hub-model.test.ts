import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readModelFolder } from '../formats/model-folder.ts';
import { safetensorsFile } from '../formats/testing-safetensors-corpus.ts';
import { codeOf } from '../formats/testing.ts';
import { isHubId, openHubModel, type HubModelOptions, type HubProgress } from './hub-model.ts';
import { nodeHubCache } from './node-cache.ts';
import { startFakeHub, type FakeHub } from './testing-hub.ts';

const ID = 'acme/tiny-llama';
const SIZE = 9_000_000;
const utf8 = (text: string) => new TextEncoder().encode(text);
const weights = safetensorsFile(
  { w: { dtype: 'U8', shape: [SIZE], data_offsets: [0, SIZE] } },
  new Uint8Array(randomBytes(SIZE)),
);

let dir = '';
let hub: FakeHub;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lorikeet-hub-'));
  hub = await startFakeHub(
    ID,
    new Map([
      ['config.json', utf8('{"model_type":"llama"}')],
      ['tokenizer.json', utf8('{"version":"1.0"}')],
      ['model.safetensors', weights],
      ['.gitattributes', utf8('x')],
      ['empty.txt', new Uint8Array(0)],
    ]),
  );
});
afterEach(async () => {
  await hub.close();
  rmSync(dir, { recursive: true, force: true });
});

const options = (changes: Partial<HubModelOptions> = {}): HubModelOptions => ({
  id: ID,
  hubUrl: hub.url,
  cache: nodeHubCache(dir),
  retryDelayMs: 1,
  ...changes,
});
const openWeights = async (changes: Partial<HubModelOptions> = {}) =>
  (await openHubModel(options(changes))).open('model.safetensors');
const content = async (changes: Partial<HubModelOptions> = {}) => {
  const source = await openWeights(changes);
  return Buffer.compare(await source.read(0, source.size), weights) === 0;
};
const ranges = () => hub.requests.flatMap((line) => /resolve.*(bytes=.*)$/.exec(line)?.[1] ?? []);
const downloads = () =>
  hub.requests.filter((line) => line.includes('/resolve/') && !line.endsWith('bytes=0-0'));

describe('openHubModel', () => {
  it('gives a model folder, and fetches only what is opened', async () => {
    const files = await openHubModel(options());
    expect(files).toMatchObject({ commit: hub.commit, offline: false, label: ID });
    expect(files.names()).toEqual(['config.json', 'tokenizer.json', 'model.safetensors', 'empty.txt']);
    expect(downloads()).toEqual([]);
    const model = await readModelFolder(files);
    expect(model.config['model_type']).toBe('llama');
    expect(downloads().length).toBe(2);
    const tensors = await model.openWeights();
    expect((await tensors.read('w')).byteLength).toBe(SIZE);
    expect((await files.open('empty.txt')).size).toBe(0);
  });

  it('reports progress', async () => {
    const seen: HubProgress[] = [];
    await openWeights({ onProgress: (progress) => seen.push(progress) });
    expect(seen[0]).toEqual({ file: 'model.safetensors', received: 0, size: weights.byteLength });
    expect(seen.at(-1)?.received).toBe(weights.byteLength);
    expect(seen.every((p, i) => p.received >= (seen[i - 1]?.received ?? 0))).toBe(true);
  });

  it('comes from the cache the second time, also when the Hub is gone', async () => {
    await openWeights();
    const before = downloads().length;
    expect(await content()).toBe(true);
    expect(downloads().length).toBe(before);
    await hub.close();
    expect((await openHubModel(options())).offline).toBe(true);
    expect(await content()).toBe(true);
    expect(await codeOf(async () => (await openHubModel(options())).open('config.json'))).toBe('HUB_FAILED');
    expect(await codeOf(() => openHubModel(options({ revision: 'other' })))).toBe('HUB_FAILED');
  });

  it('goes on by itself where a connection broke, again and again', async () => {
    hub.faults = [5_000_000, 100_000, 3_000_000].map((after) => ({ kind: 'drop', after }) as const);
    expect(await content()).toBe(true);
    expect(ranges()[0]).toBe('bytes=0-0');
    const starts = ranges()
      .slice(1)
      .map((range) => Number(/\d+/.exec(range)?.[0]));
    expect(starts.length).toBe(3);
    expect(starts[0]).toBeGreaterThan(1_000_000);
    expect(starts.every((start, i) => start >= (starts[i - 1] ?? 0))).toBe(true);
  });

  it('goes on in a new session after giving up', async () => {
    hub.faults = [
      { kind: 'drop', after: 5_000_000 },
      ...Array.from({ length: 5 }, () => ({ kind: 'drop', after: 0 }) as const),
    ];
    await expect(openWeights()).rejects.toMatchObject({
      code: 'HUB_FAILED',
      message: /could not be reached/,
    });
    hub.faults = [];
    hub.requests.length = 0;
    const seen: HubProgress[] = [];
    expect(await content({ onProgress: (progress) => seen.push(progress) })).toBe(true);
    expect(seen[0]?.received).toBeGreaterThan(1_000_000);
    expect(downloads()).toEqual([
      `GET /${ID}/resolve/${hub.commit}/model.safetensors bytes=${String(seen[0]?.received)}-`,
    ]);
  });

  it('waits out an overloaded server, and gives up in the end', async () => {
    hub.faults = [
      { kind: 'status', status: 503 },
      { kind: 'status', status: 429 },
    ];
    expect(await content()).toBe(true);
    hub.files.set('extra.json', utf8('{}'));
    hub.faults = Array.from({ length: 9 }, () => ({ kind: 'status', status: 503 }) as const);
    const failing = async () => (await openHubModel(options())).open('extra.json');
    await expect(failing()).rejects.toMatchObject({ code: 'HUB_FAILED', message: /status 503/ });
    expect(hub.faults.length).toBe(4);
  });

  it('starts over where the server cannot go on from the middle', async () => {
    hub.faults = [{ kind: 'drop', after: 6_000_000 }, { kind: 'ignore-range' }];
    expect(await content()).toBe(true);
  });

  it('throws away a download whose hash is wrong', async () => {
    hub.faults = [{ kind: 'garble' }];
    await expect(openWeights()).rejects.toThrow('is damaged: its hash is not the one that the Hub lists');
    expect(await content()).toBe(true);
  });

  it('never mixes two versions of a file', async () => {
    hub.faults = [
      { kind: 'drop', after: 5_000_000 },
      ...Array.from({ length: 5 }, () => ({ kind: 'drop', after: 0 }) as const),
    ];
    expect(await codeOf(() => openWeights())).toBe('HUB_FAILED');
    hub.faults = [];
    const other = weights.map((byte, i) => (i > 200 ? byte ^ 1 : byte));
    hub.files.set('model.safetensors', other);
    hub.commit = 'beef'.padEnd(40, '1');
    const source = await openWeights();
    expect(Buffer.compare(await source.read(0, source.size), other)).toBe(0);
  });

  it('refuses a file of another commit', async () => {
    const files = await openHubModel(options());
    const { commit } = hub;
    const lying: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      const headers = new Headers(response.headers);
      headers.set('x-repo-commit', 'dead');
      return new Response(response.body, { status: response.status, headers });
    };
    expect(commit).toBe(files.commit);
    await expect(openWeights({ fetch: lying })).rejects.toThrow('belongs to another revision');
  });

  it('is cancelled by a signal, and keeps what has arrived', async () => {
    const abort = new AbortController();
    const cancelled = openWeights({
      signal: abort.signal,
      onProgress: ({ received }) => {
        if (received > 4_500_000) abort.abort(new Error('enough'));
      },
    });
    expect(await codeOf(() => cancelled)).toBe('CANCELLED');
    const seen: HubProgress[] = [];
    expect(await content({ onProgress: (progress) => seen.push(progress) })).toBe(true);
    expect(seen[0]?.received).toBeGreaterThan(4_000_000);
  });

  it('names a missing model, a missing revision and a missing file', async () => {
    const failure = (changes: Partial<HubModelOptions>) => openHubModel(options(changes));
    await expect(failure({ id: 'acme/none' })).rejects.toMatchObject({
      code: 'HUB_FAILED',
      message: 'The Hub has no acme/none at main (status 404).',
      fix: /Check the name and the revision/,
    });
    await expect(failure({ revision: 'v9' })).rejects.toThrow('acme/tiny-llama at v9');
    const files = await openHubModel(options());
    await expect(files.open('nothing.json')).rejects.toThrow('has no file nothing.json');
    hub.files.delete('config.json');
    await expect(files.open('config.json')).rejects.toThrow('not on the Hub as its listing says');
  });

  it('uses a token, and says so when one is needed', async () => {
    hub.token = 'hf_secret';
    await expect(openHubModel(options())).rejects.toMatchObject({
      code: 'HUB_FAILED',
      message: /gives no access .*\(status 401\)/,
      fix: /access token/,
    });
    expect(await content({ token: 'hf_secret' })).toBe(true);
    await expect(openHubModel(options({ token: 'nonsense' }))).rejects.toThrow('has not the form hf_');
  });

  it('asks only for what can be a Hub id', async () => {
    for (const id of ['gpt2', 'acme/x', 'A-b_c.d/e']) expect(isHubId(id)).toBe(true);
    for (const id of ['', '../x', 'a/../b', 'a/b/c', '/x', 'a b', './x', 'a/']) {
      expect(isHubId(id)).toBe(false);
      expect(await codeOf(() => openHubModel(options({ id })))).toBe('HUB_FAILED');
    }
    expect(hub.requests).toEqual([]);
  });
});

describe('nodeHubCache', () => {
  it('refuses bytes at another place than the end, and keys that lead elsewhere', async () => {
    const cache = nodeHubCache(dir);
    await cache.append('a/b', 0, utf8('hello'));
    expect(await codeOf(() => cache.append('a/b', 0, utf8('again')))).toBe('FILE_WRITE_FAILED');
    await cache.append('a/b', 5, utf8(' world'));
    const source = await cache.source('a/b', 'b');
    expect(new TextDecoder().decode(await source.read(3, 8))).toBe('lo wo');
    expect(await codeOf(() => cache.writeText('../x', 'y'))).toBe('FILE_WRITE_FAILED');
    await cache.remove('a/b');
    expect(await cache.length('a/b')).toBe(0);
  });
});
