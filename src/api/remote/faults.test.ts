import { describe, expect, it } from 'vitest';
import {
  APIConnectionError,
  APIResponseValidationError,
  APITimeoutError,
  ConflictError,
  InternalServerError,
  LorikeetError,
  PaymentRequiredError,
  RateLimitError,
  RequestFailedError,
} from '../errors.ts';
import { CheckpointExistsError, ClientClosedError } from '../own-errors.ts';
import { ServiceClient } from '../service-client.ts';
import { FAST, VERSIONS } from './testing-replay.ts';
import { dataOf, firstClient, setUp } from './testing-remote.ts';

const NEWER = 'skyrl-a956457';
const OLDER = 'skyrl-0.3.0';

/** The rejection and how long it took. */
async function failure(work: Promise<unknown>): Promise<{ error: unknown; ms: number }> {
  const from = performance.now();
  const error = await work.then(
    () => null,
    (e: unknown) => e,
  );
  return { error, ms: performance.now() - from };
}

describe('polling', () => {
  it.each([408, 429, 503, 500])('asks again after %i', async (status) => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    let left = 2;
    server.fault = ({ path, body }) =>
      path === 'retrieve_future' && (body as { request_id: string }).request_id === '2' && left-- > 0
        ? { status }
        : null;
    expect((await client.forward(dataOf(NEWER, 20), 'cross_entropy')).lossFnOutputs).toHaveLength(2);
    const iterations = server.seen
      .filter((s) => s.body['request_id'] === '2')
      .map((s) => s.headers['x-tinker-request-iteration']);
    expect(iterations).toEqual(['0', '1', '2']);
  });

  it('goes on after try_again and metadata, and tells how the queue stands', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    const answers = [
      { type: 'try_again', request_id: '2', queue_state: 'paused_capacity', queue_state_reason: 'full' },
      { type: 'try_again', request_id: '2', queue_state: 'new_state' },
      { status: 'complete_metadata', request_id: '2', response_payload_size: 1000 },
    ];
    server.fault = ({ path, body }) => {
      const next =
        path === 'retrieve_future' && (body as { request_id: string }).request_id === '2'
          ? answers.shift()
          : undefined;
      return next === undefined ? null : { status: 200, body: JSON.stringify(next) };
    };
    const states: unknown[] = [];
    const future = client.forward(dataOf(NEWER, 20), 'cross_entropy').onQueueState((...s) => states.push(s));
    await future;
    expect(states).toEqual([
      ['paused_capacity', 'full'],
      ['unknown', undefined],
    ]);
    const asked = server.seen
      .filter((s) => s.body['request_id'] === '2')
      .map((s) => s.body['allow_metadata_only']);
    expect(asked).toEqual([true, true, true, false]);
  });

  it('does not ask for ever where a 5xx is final', async () => {
    const { service, server } = await setUp(OLDER);
    const client = await firstClient(service);
    server.fault = ({ path, body }) =>
      path === 'retrieve_future' && (body as { request_id: string }).request_id === '2'
        ? { status: 500, body: 'Internal Server Error', headers: { 'content-type': 'text/plain' } }
        : null;
    const { error, ms } = await failure(client.forward(dataOf(OLDER, 20), 'cross_entropy'));
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ requestId: '2', seqId: 1 });
    expect(ms).toBeLessThan(15_000);
    server.fault = null;
    expect((await client.forward(dataOf(OLDER, 20), 'cross_entropy')).lossFnOutputs).toHaveLength(2);
  });

  it('gives the failure that the server tells, with its category', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    server.fault = ({ path, body }) =>
      path === 'retrieve_future' && (body as { request_id: string }).request_id === '2'
        ? { status: 200, body: '{"error":"out of memory","category":"server"}' }
        : null;
    const { error } = await failure(client.forward(dataOf(NEWER, 20), 'cross_entropy'));
    expect(error).toBeInstanceOf(RequestFailedError);
    expect(error).toMatchObject({ category: 'server', requestId: '2', seqId: 1 });
  });

  it('sends the request again under its number when its promise is lost', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    let lost = true;
    server.fault = ({ path, body }) => {
      const mine = path === 'retrieve_future' && (body as { request_id: string }).request_id === '2' && lost;
      if (mine) lost = false;
      return mine ? { status: 410 } : null;
    };
    await client.forward(dataOf(NEWER, 20), 'cross_entropy');
    const sent = server.seen.filter((s) => s.path.endsWith('/forward'));
    expect(sent.map((s) => s.body['seq_id'])).toEqual([1, 1]);
    expect((await service.getTelemetry())['resubmits']).toBe(1);
  });

  it('throws for billing, or waits for it where that is wanted', async () => {
    const payment = ({ path, count }: { path: string; count: number }) =>
      path === 'optim_step' && count <= 2 ? { status: 402 } : null;
    const first = await setUp(NEWER);
    const client = await firstClient(first.service);
    first.server.fault = payment;
    const params = { learningRate: 0.01 };
    expect((await failure(client.optimStep(params))).error).toBeInstanceOf(PaymentRequiredError);
    const second = await setUp(NEWER, { waitOnBilling: true });
    const patient = await firstClient(second.service);
    second.server.fault = payment;
    expect(await patient.optimStep(params)).toHaveProperty('metrics');
  });
});

describe('submitting', () => {
  it.each([429, 503, 425])('sends again after %i, with one key of idempotence', async (status) => {
    const { service, server } = await setUp(OLDER);
    const client = await firstClient(service);
    server.fault = ({ path, count }) => (path === 'forward_backward' && count <= 2 ? { status } : null);
    await client.forwardBackward(dataOf(OLDER, 24), 'cross_entropy');
    const keys = server.seen
      .filter((s) => s.path.endsWith('forward_backward'))
      .map((s) => s.headers['x-idempotency-key']);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
  });

  it('repeats a training request whose answer was lost only where the server knows it again', async () => {
    for (const version of VERSIONS) {
      const { service, server } = await setUp(version);
      const client = await firstClient(service);
      server.fault = ({ path, count }) => (path === 'forward_backward' && count === 1 ? 'lose' : null);
      const outcome = await failure(client.forwardBackward(dataOf(version, 24), 'cross_entropy'));
      const sent = server.seen.filter((s) => s.path.endsWith('forward_backward')).length;
      const safe = version === NEWER;
      expect([outcome.error instanceof APIConnectionError, sent]).toEqual([!safe, safe ? 2 : 1]);
      // A lost answer does not stand in the way of what comes after it.
      const step = client.optimStep({ learningRate: 0.01 });
      expect((await step).precedingFailure === undefined).toBe(safe);
    }
  });

  it('repeats what changes nothing on every server', async () => {
    const { service, server } = await setUp(OLDER);
    const client = await firstClient(service);
    server.fault = ({ path, count }) => (path === 'forward' && count === 1 ? 'lose' : null);
    expect((await client.forward(dataOf(OLDER, 20), 'cross_entropy')).lossFnOutputs).toHaveLength(2);
  });

  it('gives a failed call to whoever awaits it, and tells the step that went on', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    server.fault = ({ path }) =>
      path === 'forward_backward'
        ? { status: 422, body: '{"detail":[{"loc":["body","x"],"msg":"wrong"}]}' }
        : null;
    const backward = client.forwardBackward(dataOf(NEWER, 24), 'cross_entropy');
    const step = client.optimStep({ learningRate: 0.01 });
    const { error } = await failure(backward);
    expect((error as Error).message).toBe('POST forward_backward: the server answered 422, x: wrong.');
    expect((await step).precedingFailure).toContain('x: wrong');
    server.fault = null;
    expect(await client.optimStep({ learningRate: 0.01 })).not.toHaveProperty('precedingFailure');
  });
});

describe('saves', () => {
  it('count a 409 as success where their own answer was lost, once the checkpoint is listed', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    let lists = 0;
    server.fault = ({ path, count }) => {
      if (path === 'save_weights' && count === 1) return 'lose';
      // Not listed at once: still being written.
      if (path.endsWith('/checkpoints') && lists++ < 2) return { status: 200, body: '{"checkpoints":[]}' };
      if (path.endsWith('/checkpoints')) {
        const row = {
          checkpoint_id: 'step-0001',
          checkpoint_type: 'training',
          time: '2026-11-22T02:02:55',
          tinker_path: 'tinker://model_00000001/weights/step-0001',
        };
        return { status: 200, body: JSON.stringify({ checkpoints: [row] }) };
      }
      return null;
    };
    const { path } = await client.saveState('step-0001');
    expect(path).toBe('tinker://model_00000001/weights/step-0001');
    expect(server.seen.filter((s) => s.path.endsWith('save_weights'))).toHaveLength(2);
    expect(lists).toBe(3);
  });

  it('do not take the checkpoint of somebody else for their own', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    server.fault = ({ path }) => (path === 'save_weights' ? { status: 409 } : null);
    expect((await failure(client.saveState('step-0001'))).error).toBeInstanceOf(CheckpointExistsError);
    // Refused before any connection came about, then taken by another: not ours either.
    expect((await failure(client.saveState('step-0002'))).error).toBeInstanceOf(ConflictError);
  });

  it('are sent again once, and no more', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    server.fault = ({ path }) => (path === 'save_weights' ? 'drop' : null);
    const { error, ms } = await failure(client.saveState('step-0001'));
    expect(error).toBeInstanceOf(APIConnectionError);
    expect(server.seen.filter((s) => s.path.endsWith('save_weights'))).toHaveLength(2);
    expect(ms).toBeLessThan(15_000);
  });
});

describe('a server that misbehaves', () => {
  it.each([
    ['no JSON', 'garbage <html>'],
    ['another shape', '{"hello":1}'],
    ['a list', '[]'],
    ['nothing', ''],
  ])('is told by its answer being %s', async (_, body) => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    const data = dataOf(NEWER, 20);
    server.fault = ({ path }) => (path === 'forward' ? { status: 200, body } : null);
    expect((await failure(client.forward(data, 'cross_entropy'))).error).toBeInstanceOf(
      APIResponseValidationError,
    );
    server.fault = ({ path, body: asked }) =>
      path === 'retrieve_future' && (asked as { request_id: string }).request_id === '2'
        ? { status: 200, body }
        : null;
    expect((await failure(client.forward(data, 'cross_entropy'))).error).toBeInstanceOf(
      APIResponseValidationError,
    );
    server.fault = null;
    expect((await client.forward(data, 'cross_entropy')).lossFnOutputs).toHaveLength(2);
  });

  it('is refused where its result is of another batch', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    server.fault = ({ path, body }) =>
      path === 'retrieve_future' && (body as { request_id: string }).request_id === '2'
        ? { status: 200, body: '{"loss_fn_output_type":"scalar","loss_fn_outputs":[],"metrics":{}}' }
        : null;
    expect((await failure(client.forward(dataOf(NEWER, 20), 'cross_entropy'))).error).toBeInstanceOf(
      APIResponseValidationError,
    );
  });

  it('turns nulls into NaN with a warning', async () => {
    const { service, server, codes } = await setUp(NEWER);
    const client = await firstClient(service);
    const tensor = { data: Array.from({ length: 14 }, () => null), dtype: 'float32', shape: [14] };
    server.fault = ({ path, body }) =>
      path === 'retrieve_future' && (body as { request_id: string }).request_id === '2'
        ? {
            status: 200,
            body: JSON.stringify({
              loss_fn_output_type: 'scalar',
              loss_fn_outputs: [{ logprobs: tensor }, { logprobs: tensor }],
              metrics: {},
            }),
          }
        : null;
    const output = await client.forward(dataOf(NEWER, 20), 'cross_entropy');
    expect(output.metrics['loss:sum']).toBeNaN();
    expect(codes()).toContain('RESULT_NOT_FINITE');
  });

  it('that is gone rejects everything queued, typed and prompt', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    await server.close();
    const data = dataOf(NEWER, 20);
    const from = performance.now();
    const calls = Array.from({ length: 10_000 }, (_, i) =>
      i % 2 === 0 ? client.forward(data, 'cross_entropy') : client.optimStep(),
    );
    const outcomes = await Promise.allSettled<unknown>(calls);
    expect(performance.now() - from).toBeLessThan(60_000);
    const kinds = new Set(
      outcomes.map((o) => (o.status === 'rejected' ? (o.reason as Error).name : 'resolved')),
    );
    expect([...kinds]).toEqual(['APIConnectionError']);
  });

  it('that hangs is left by the time limit of the call', async () => {
    const { service, server } = await setUp(NEWER);
    const client = await firstClient(service);
    server.fault = ({ path, body }) =>
      path === 'retrieve_future' && (body as { request_id: string }).request_id === '2' ? 'hang' : null;
    const { error, ms } = await failure(
      client.forward(dataOf(NEWER, 20), 'cross_entropy', null, { timeout: 0.2 }),
    );
    expect(error).toBeInstanceOf(APITimeoutError);
    expect(ms).toBeLessThan(8000);
  });

  it('that answers 429 to samples is asked more slowly', async () => {
    const { service, server } = await setUp(NEWER);
    const sampler = await service.createSamplingClient({
      modelPath: 'tinker://model_00000001/sampler_weights/s1',
    });
    server.fault = ({ path, count }) =>
      path === 'asample' && count <= 3 ? { status: 429, headers: { 'retry-after': '0' } } : null;
    const params = { samplingParams: { maxTokens: 8, seed: 7, temperature: 0 } };
    expect((await sampler.sample([338, 280, 262, 390, 284], params)).sequences).toHaveLength(1);
    server.fault = ({ path }) => (path === 'asample' ? { status: 429 } : null);
    expect((await failure(sampler.sample([338, 280, 262, 390, 284], params))).error).toBeInstanceOf(
      RateLimitError,
    );
  });

  it('was never there', async () => {
    const service = new ServiceClient({
      backend: { baseUrl: 'http://127.0.0.1:1', timing: FAST },
      env: {},
      onWarning: () => undefined,
    });
    const { error, ms } = await failure(service.createLoraTrainingClient('x'));
    expect(error).toBeInstanceOf(APIConnectionError);
    expect(error).toBeInstanceOf(LorikeetError);
    expect((error as Error).message).toMatch(/cannot be reached/);
    expect(ms).toBeLessThan(15_000);
    await service.close();
  });

  it('never sees a key in a message', async () => {
    const { service, server } = await setUp(NEWER, { apiKey: 'tml-secret' });
    server.fault = () => ({ status: 401, body: '{"detail":"bad key tml-secret for https://x.y/z?sig=abc"}' });
    const { error } = await failure(service.createLoraTrainingClient('tiny-qwen3'));
    expect((error as Error).message).not.toContain('secret');
    expect((error as Error).message).not.toContain('sig=abc');
    expect(server.seen[0]?.headers['x-api-key']).toBe('tml-secret');
  });
});

describe('the session', () => {
  it('beats, warns when it is not heard, and ends with the service', async () => {
    const { service, server, codes } = await setUp(NEWER, {
      timing: { heartbeatSeconds: 0.02, heartbeatWarnSeconds: 0.1 },
    });
    await firstClient(service);
    const beats = (): number => server.seen.filter((s) => s.path.endsWith('session_heartbeat')).length;
    await expect.poll(beats, { timeout: 20_000 }).toBeGreaterThan(2);
    server.fault = ({ path }) => (path === 'session_heartbeat' ? { status: 404 } : null);
    await expect.poll(codes, { timeout: 20_000 }).toContain('HEARTBEAT_LATE');
    await service.close();
    const after = beats();
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(beats()).toBeLessThanOrEqual(after + 1);
    expect((await failure(service.createLoraTrainingClient('tiny-qwen3'))).error).toBeInstanceOf(
      ClientClosedError,
    );
  });

  it('shows what the server says at its start', async () => {
    const { service, server, warnings } = await setUp(NEWER);
    server.fault = ({ path }) =>
      path === 'create_session'
        ? { status: 200, body: '{"session_id":"session_00000001","warning_message":"going down at six"}' }
        : null;
    await service.capabilities();
    expect(warnings.find(({ code }) => code === 'SESSION_MESSAGE')?.message).toContain('going down at six');
  });
});
