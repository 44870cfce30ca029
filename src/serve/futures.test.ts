/** Results: long polls, sizes, expiry, failures. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createFutures, type FutureValue } from './futures.ts';
import { passBody, serve } from './testing-serve.ts';

const ask = (id: unknown, more: object = {}): object => ({ request_id: id, ...more });
const done = (n: number): FutureValue => ({ type: 'json', body: { n } });

describe('asking for a result', () => {
  it('says 408 after a while', async () => {
    const { call, model, backend } = await serve({ limits: { pollSeconds: 0.1 } });
    const id = await model();
    let release: () => void = () => undefined;
    backend.before = () => new Promise<void>((resolve) => (release = resolve));
    const { body } = await call('forward_backward', passBody(id, 1));
    const early = await call('retrieve_future', ask(body['request_id']));
    expect(early).toMatchObject({ status: 408, body: { type: 'try_again', queue_state: 'active' } });
    release();
  });

  it('is held open and gets it as soon as it is there', async () => {
    const { call, model, backend } = await serve({ limits: { pollSeconds: 60 } });
    const id = await model();
    let release: () => void = () => undefined;
    backend.before = () => new Promise<void>((resolve) => (release = resolve));
    const { body } = await call('forward_backward', passBody(id, 1));
    const waiting = call('retrieve_future', ask(body['request_id']));
    await sleep(50);
    const from = performance.now();
    release();
    expect(await waiting).toMatchObject({
      status: 200,
      body: { metrics: { 'loss:sum': expect.any(Number) } },
    });
    // Long before the poll would have ended by itself.
    expect(performance.now() - from).toBeLessThan(30_000);
    // It can be asked for again.
    expect((await call('retrieve_future', ask(body['request_id']))).status).toBe(200);
  });

  it('announces what is large, where the caller can take that', async () => {
    const { call, model } = await serve({ limits: { inlineBytes: 600 } });
    const id = await model();
    const tokens = Array.from({ length: 50 }, (_, i) => i % 16);
    const { body } = await call('forward_backward', passBody(id, 1, tokens));
    const announced = await call('retrieve_future', ask(body['request_id'], { allow_metadata_only: true }));
    expect(announced.body).toEqual({
      status: 'complete_metadata',
      response_payload_size: expect.any(Number),
    });
    const whole = await call('retrieve_future', ask(body['request_id'], { allow_metadata_only: false }));
    expect(whole.body).toHaveProperty('loss_fn_outputs');
  });

  it('tells unknown ids from those whose result is gone', async () => {
    const { call, model } = await serve({ limits: { resultSeconds: 1 } });
    const id = await model();
    const { body } = await call('forward_backward', passBody(id, 1));
    await call('retrieve_future', ask(body['request_id']));
    await sleep(1500);
    expect((await call('retrieve_future', ask(body['request_id']))).status).toBe(410);
    for (const unknown of [
      'nothing',
      '1',
      `${String(body['request_id']).split('-')[0] ?? ''}-999`,
      '-1',
      '0-0',
    ])
      expect((await call('retrieve_future', ask(unknown))).status, unknown).toBe(404);
    // The effect is there: the same request again is the same one.
    expect((await call('forward_backward', passBody(id, 1))).body['request_id']).toBe(body['request_id']);
  });

  it('gives failures as answers with what is wrong, and the model goes on', async () => {
    const { model, result } = await serve();
    const id = await model();
    const failed = await result('load_weights', {
      model_id: id,
      seq_id: 1,
      path: `tinker://${id}/weights/none`,
      optimizer: true,
    });
    expect(failed).toMatchObject({ category: 'user', code: 'CHECKPOINT_NOT_FOUND' });
    expect(await result('forward_backward', passBody(id, 2))).toHaveProperty('metrics');
  });

  it('keeps results within their bytes, the newest in any case, and counts what is pending', async () => {
    const futures = createFutures({ maxPending: 2, maxResultBytes: 1100, resultSeconds: 100 });
    const settled = await Promise.all(
      [1, 2, 3].map(async (n) => {
        const future = futures.open(() => Promise.resolve(done(n)));
        await future.done;
        return future.id;
      }),
    );
    expect(settled.map((id) => futures.has(id))).toEqual([false, true, true]);
    futures.open(() => new Promise(() => undefined));
    futures.open(() => new Promise(() => undefined));
    expect(futures.pending).toBe(2);
    expect(() => futures.admit()).toThrow(expect.objectContaining({ status: 429 }));
    expect(() => futures.admit(true)).not.toThrow();
  });
});
