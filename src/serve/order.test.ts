/** Requests by their numbers: order, repeats, refusals, gaps. */
import { describe, expect, it } from 'vitest';
import { encodeForwardBackwardRequest } from '../api/remote/proto-training.ts';
import { decodeForwardBackwardOutput } from '../api/remote/proto-training.ts';
import { prepareTrainingCall } from '../api/training-call.ts';
import { passBody, passInput, serve } from './testing-serve.ts';

const STEP = { adam_params: { learning_rate: 0.1 } };

describe('the order of a model’s requests', () => {
  it('is that of their numbers, however they arrive', async () => {
    const { call, model, backend } = await serve();
    const id = await model();
    const sent: [string, unknown][] = [
      ['save_weights', { model_id: id, seq_id: 4, path: 'a' }],
      ['optim_step', { model_id: id, seq_id: 3, ...STEP }],
      ['forward', { model_id: id, seq_id: 2, forward_input: passInput([1, 2]) }],
      ['forward_backward', passBody(id, 1)],
    ];
    const ids: unknown[] = [];
    for (const [path, body] of sent) {
      const { status, body: accepted } = await call(path, body);
      expect(status).toBe(200);
      ids.push(accepted['request_id']);
    }
    for (const request of ids)
      expect((await call('retrieve_future', { request_id: request })).status).toBe(200);
    const done = backend.log.filter((line) => line.startsWith(id)).map((line) => line.split(' ')[1]);
    expect(done).toEqual(['forwardBackward', 'forward', 'optimStep', 'saveState']);
  });

  it('holds for submissions of many parts, the first one last', async () => {
    const { call, model, result, backend } = await serve();
    const id = await model();
    const parts = [5, 4, 3, 2, 1];
    const answers = await Promise.all(
      parts.slice(0, -1).map((seq) => call('forward_backward', passBody(id, seq))),
    );
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(backend.log).toEqual([]);
    await result('forward_backward', passBody(id, 1));
    expect(await result('optim_step', { model_id: id, seq_id: 6, ...STEP })).toMatchObject({
      type: 'optim_step',
    });
    expect(backend.log.filter((line) => line.includes('forwardBackward'))).toHaveLength(5);
  });

  it('gives the same future for the same request, in JSON and in protobuf, and 409 for another one', async () => {
    const { call, model, result, server, backend } = await serve();
    const id = await model();
    const first = await call('forward_backward', passBody(id, 1));
    const again = await call('forward_backward', passBody(id, 1));
    expect(again.body['request_id']).toBe(first.body['request_id']);
    expect(await call('forward_backward', passBody(id, 1, [1, 2, 4]))).toMatchObject({ status: 409 });
    await result('optim_step', { model_id: id, seq_id: 2, ...STEP });
    expect(backend.log.filter((line) => line.includes('forwardBackward'))).toHaveLength(1);

    const tokens = [1, 2, 3];
    const data = [
      {
        modelInput: { chunks: [{ type: 'encoded_text' as const, tokens: tokens.slice(0, -1) }] },
        lossFnInputs: { targetTokens: tokens.slice(1) },
      },
    ];
    const request = prepareTrainingCall(data, 'cross_entropy');
    const body = encodeForwardBackwardRequest({ modelId: id, seqId: 3, call: request, forwardOnly: true });
    const send = () =>
      call('forward_backward', undefined, {
        method: 'POST',
        headers: { 'Content-Type': 'application/x-protobuf' },
        body,
      });
    const [one, two] = [await send(), await send()];
    expect(one.status).toBe(200);
    expect(two.body['request_id']).toBe(one.body['request_id']);
    const answer = await fetch(`${server.url}/api/v1/retrieve_future`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Accept: 'application/x-protobuf' },
      body: JSON.stringify({ request_id: one.body['request_id'] }),
    });
    expect(answer.headers.get('content-type')).toBe('application/x-protobuf');
    const output = decodeForwardBackwardOutput(new Uint8Array(await answer.arrayBuffer()));
    const asJson = await result('forward', { model_id: id, seq_id: 4, forward_input: passInput(tokens) });
    const [tensors] = asJson['loss_fn_outputs'] as { logprobs: { data: number[] } }[];
    expect(Array.from(output.lossFnOutputs[0]?.['logprobs']?.data ?? [], Number)).toEqual(
      tensors?.logprobs.data,
    );
  });

  it('goes on behind a refused request, whose gradient is not stepped with', async () => {
    const { call, model, result } = await serve();
    const id = await model();
    await result('forward_backward', passBody(id, 1));
    const wrong = {
      ...(passBody(id, 2) as object),
      forward_backward_input: { data: [], loss_fn: 'cross_entropy' },
    };
    expect(await call('forward_backward', wrong)).toMatchObject({ status: 422 });
    expect(await result('optim_step', { model_id: id, seq_id: 3, ...STEP })).toMatchObject({
      category: 'user',
      code: 'API_PRECEDING_FAILED',
    });
    // The gradient was dropped; what comes is whole again.
    await result('forward_backward', passBody(id, 4));
    expect(await result('optim_step', { model_id: id, seq_id: 5, ...STEP })).toMatchObject({
      metrics: { gradNorm: expect.any(Number) },
    });
    // A refused save or step leaves no gap either.
    expect((await call('save_weights', { model_id: id, seq_id: 6, path: '../x' })).status).toBe(400);
    expect((await call('optim_step', { model_id: id, seq_id: 7, adam_params: { beta1: 2 } })).status).toBe(
      400,
    );
    expect(await result('save_weights', { model_id: id, seq_id: 8, path: 'x' })).toMatchObject({
      path: `tinker://${id}/weights/x`,
    });
  });

  it('gives up what waits too long for a request that never comes, and takes it when it comes after all', async () => {
    const { call, model, result } = await serve({ limits: { gapSeconds: 0.2 } });
    const id = await model();
    const { body } = await call('optim_step', { model_id: id, seq_id: 2, ...STEP });
    const answer = await call('retrieve_future', { request_id: body['request_id'] });
    expect(answer.body).toMatchObject({ category: 'user', error: expect.stringContaining('Request 1') });
    await result('forward_backward', passBody(id, 1));
    expect(await result('optim_step', { model_id: id, seq_id: 3, ...STEP })).toMatchObject({
      type: 'optim_step',
    });
  });

  it('takes no more early requests than it holds, no number far ahead, and none before the first', async () => {
    const { call, model, result } = await serve({ limits: { maxHeld: 3, maxPending: 3 } });
    const id = await model();
    for (const seq of [2, 3, 4]) expect((await call('forward_backward', passBody(id, seq))).status).toBe(200);
    expect((await call('forward_backward', passBody(id, 5))).status).toBe(400);
    expect((await call('forward_backward', passBody(id, 0))).status).toBe(400);
    // The one that the others wait for is taken although all places are taken.
    await result('forward_backward', passBody(id, 1));
    await result('optim_step', { model_id: id, seq_id: 5, ...STEP });
  });

  it('places requests without a number behind those that came', async () => {
    const { call, model, result, backend } = await serve();
    const id = await model();
    await call('forward_backward', passBody(id, 1));
    expect(await result('save_weights', { model_id: id, path: 'bare' })).toMatchObject({
      type: 'save_weights',
    });
    expect(backend.log.at(-1)).toContain('saveState');
  });
});
