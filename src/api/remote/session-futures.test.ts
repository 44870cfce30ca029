import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { SamplingClient } from '../sampling-client.ts';
import { ServiceClient } from '../service-client.ts';
import { FAST } from './testing-replay.ts';

interface Body {
  request_id?: string;
  prev_cursor?: number;
  seq_id?: number;
  target?: { type: string; sampling_session_id: string; cloned_sampler_id: number };
  sampling_session_id?: string;
  prompt?: { chunks: { tokens: number[] }[] };
}

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** A server whose samples take a while: it logs what was done, and holds the poll of a session until something is new. */
async function start(route: 'held' | 'missing' | 'garbage') {
  const seen: [path: string, body: Body][] = [];
  const done = new Set<string>();
  const events: string[] = [];
  let sessions = 0;
  const server: Server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const text = Buffer.concat(parts).toString();
      const path = (request.url ?? '').replace('/api/v1/', '');
      const body = (text === '' ? {} : JSON.parse(text)) as Body;
      seen.push([path, body]);
      const reply = (value: unknown, status = 200): void => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(value));
      };
      switch (path) {
        case 'client/config':
          return reply({ sample_use_retrieve_futures: true, parallel_fwdbwd_chunks: true });
        case 'create_session':
          return reply({ session_id: 's' });
        case 'create_sampling_session':
          return reply({ sampling_session_id: `s:sample:${String(sessions++)}` });
        case 'samplers/s:sample:7':
        case 'samplers/s%3Asample%3A7':
          return reply({ base_model: 'b' });
        case 'asample': {
          const id = `${body.sampling_session_id ?? ''}/${String(body.seq_id)}`;
          setTimeout(
            () => {
              done.add(id);
              events.push(id);
            },
            30 + ((body.seq_id ?? 0) % 5) * 10,
          );
          return reply({ request_id: id });
        }
        case 'retrieve_futures': {
          if (route === 'missing') return reply({ detail: 'Not found' }, 404);
          if (route === 'garbage') return reply('garbage');
          const from = body.prev_cursor ?? 0;
          const answer = (left: number): void => {
            if (events.length === from && left > 0) {
              setTimeout(() => answer(left - 1), 5);
              return;
            }
            const completions = events.slice(from).map((id) => ({ state: 'finished', request_id: id }));
            reply({ completions, cursor: events.length });
          };
          return answer(20);
        }
        case 'retrieve_future': {
          const id = body.request_id ?? '';
          if (!done.has(id)) return reply({ type: 'try_again', request_id: id, queue_state: 'active' });
          const token = Number(id.split('/')[1]) % 1_000_000_000;
          return reply({
            sequences: [{ stop_reason: 'length', tokens: [token], logprobs: [-1] }],
            type: 'sample',
          });
        }
        default:
          return reply({ detail: 'Not found' }, 404);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const service = new ServiceClient({
    backend: {
      baseUrl: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
      timing: { ...FAST, heartbeatSeconds: 60 },
    },
    env: {},
    onWarning: () => undefined,
  });
  open.push(async () => {
    await service.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const count = (path: string): number => seen.filter(([p]) => p === path).length;
  return { service, seen, count };
}

const PARAMS = { samplingParams: { maxTokens: 1 } };
const draw = async (sampler: SamplingClient, samples: number): Promise<number[]> => {
  const calls = Array.from({ length: samples }, () => sampler.sample([1, 2], PARAMS));
  return (await Promise.all(calls)).map(({ sequences }) => sequences[0]?.tokens[0] ?? NaN);
};
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe('samples of a session whose server tells which are done', () => {
  it('are each asked for once, when they are', async () => {
    const { service, count, seen } = await start('held');
    const sampler = await service.createSamplingClient({ baseModel: 'b' });
    expect(await draw(sampler, 40)).toEqual(upTo(40));
    expect(count('retrieve_future')).toBe(40);
    expect(count('retrieve_futures')).toBeLessThan(30);
    const polls = seen.filter(([path]) => path === 'retrieve_futures').map(([, body]) => body);
    expect(polls[0]).toEqual({
      target: { type: 'sampling_session', sampling_session_id: 's:sample:0', cloned_sampler_id: 0 },
      prev_cursor: 0,
    });
    expect(polls.at(-1)?.prev_cursor).toBeGreaterThan(0);
    // Nothing is polled for when nothing is to come, and a later sample is found again.
    const before = count('retrieve_futures');
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(count('retrieve_futures')).toBeLessThanOrEqual(before + 1);
    expect(await draw(sampler, 1)).toEqual([41]);
  });

  it.each(['missing', 'garbage'] as const)(
    'are asked for one by one where that route is %s',
    async (route) => {
      const { service, count } = await start(route);
      const sampler = await service.createSamplingClient({ baseModel: 'b' });
      expect(await draw(sampler, 5)).toEqual(upTo(5));
      const tried = count('retrieve_futures');
      expect(await draw(sampler, 3)).toEqual([6, 7, 8]);
      expect(count('retrieve_futures')).toBe(tried);
      expect(count('retrieve_future')).toBeGreaterThan(8);
    },
  );

  it('have numbers of their own where a session has a second client', async () => {
    const { service, seen } = await start('held');
    const handle = {
      kind: 'lorikeet-sampler',
      modelPath: null,
      baseModel: 'b',
      samplerId: 's:sample:7',
    } as const;
    const clone = await SamplingClient.fromSamplerHandle(service, handle);
    expect(await draw(clone, 2)).toEqual([1, 2]);
    const numbers = seen.filter(([path]) => path === 'asample').map(([, body]) => body.seq_id ?? 0);
    const block = Math.floor((numbers[0] ?? 0) / 1e9);
    expect(block).toBeGreaterThan(0);
    expect(numbers.map((seq) => seq - block * 1e9)).toEqual([1, 2]);
    const target = seen.find(([path]) => path === 'retrieve_futures')?.[1].target;
    expect(target).toMatchObject({ sampling_session_id: 's:sample:7', cloned_sampler_id: block });
    // Named weights and base models are opened anew instead.
    const sampler = await service.createSamplingClient({ baseModel: 'b' });
    expect(await sampler.getSamplerHandle()).toMatchObject({ baseModel: 'b', samplerId: null });
  });
});
