/** Set-up of the server's tests: a server over the tests' backend, and requests to it. */
import { afterEach } from 'vitest';
import {
  createBigramBackend,
  type BigramBackend,
  type BigramOptions,
} from '../api/testing-bigram-backend.ts';
import { startServer, type RunningServer } from './server.ts';
import type { GivenServeOptions } from './options.ts';

export interface Answer {
  status: number;
  body: Record<string, unknown>;
  headers: Headers;
}

export interface Served {
  backend: BigramBackend;
  server: RunningServer;
  lines: string[];
  /** Sends JSON, or bytes with a type; anything undefined is a GET. */
  call: (path: string, body?: unknown, o?: RequestInit) => Promise<Answer>;
  /** Sends a request and waits for what comes of it. */
  result: (path: string, body: unknown) => Promise<Record<string, unknown>>;
  session: () => Promise<string>;
  /** A model of rank 4, seed 1. */
  model: (sessionId?: string) => Promise<string>;
}

const open: Served[] = [];

afterEach(async () => {
  for (const { server, backend } of open.splice(0)) {
    backend.before = null;
    await server.close();
    await backend.close();
  }
});

/** A server on a free port; it is closed after the test. */
export async function serve(
  options: GivenServeOptions = {},
  bigram: BigramOptions = {},
  wrap: (backend: BigramBackend) => BigramBackend = (backend) => backend,
): Promise<Served> {
  const backend = wrap(createBigramBackend(bigram));
  const lines: string[] = [];
  const server = await startServer(backend, { log: (line) => lines.push(line), ...options });
  const call: Served['call'] = async (path, body, o = {}) => {
    const init: RequestInit =
      body === undefined
        ? { redirect: 'manual', ...o }
        : {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify(body),
            ...o,
          };
    const response = await fetch(`${server.url}/api/v1/${path}`, init);
    const text = await response.text();
    const json = (response.headers.get('content-type') ?? '').includes('json');
    return {
      status: response.status,
      body: json ? (JSON.parse(text) as Record<string, unknown>) : { text },
      headers: response.headers,
    };
  };
  const result: Served['result'] = async (path, body) => {
    const accepted = await call(path, body);
    if (accepted.status !== 200) throw new Error(`${path}: ${JSON.stringify(accepted.body)}`);
    for (;;) {
      const { status, body: value } = await call('retrieve_future', {
        request_id: accepted.body['request_id'],
      });
      if (status !== 408) return value;
    }
  };
  const session = async (): Promise<string> =>
    (await call('create_session', { tags: [], sdk_version: '1' })).body['session_id'] as string;
  let models = 0;
  const served: Served = {
    backend,
    server,
    lines,
    call,
    result,
    session,
    model: async (sessionId) => {
      const body = {
        session_id: sessionId ?? (await session()),
        model_seq_id: models++,
        base_model: 'bigram',
        lora_config: { rank: 4, seed: 1 },
      };
      return (await result('create_model', body))['model_id'] as string;
    },
  };
  open.push(served);
  return served;
}

/** The body of a pass over a sequence, each token with weight 1. */
export const passBody = (modelId: string, seqId: number, tokens: readonly number[] = [1, 2, 3]): unknown => ({
  model_id: modelId,
  seq_id: seqId,
  forward_backward_input: passInput(tokens),
});

export const passInput = (tokens: readonly number[]): unknown => ({
  data: [
    {
      model_input: { chunks: [{ type: 'encoded_text', tokens: tokens.slice(0, -1) }] },
      loss_fn_inputs: { target_tokens: { data: tokens.slice(1) } },
    },
  ],
  loss_fn: 'cross_entropy',
  loss_fn_config: null,
});
