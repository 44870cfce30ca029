/** Sessions, models and samplers: made once, ended when nobody is there, within their numbers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { passBody, serve } from './testing-serve.ts';

const create = (sessionId: string, seq: number, more: object = {}): object => ({
  session_id: sessionId,
  model_seq_id: seq,
  base_model: 'bigram',
  lora_config: { rank: 4, seed: 1 },
  ...more,
});

describe('a model', () => {
  it('is made once for a number of its session', async () => {
    const { call, session, result } = await serve();
    const id = await session();
    const [one, two] = [await call('create_model', create(id, 0)), await call('create_model', create(id, 0))];
    expect(two.body['request_id']).toBe(one.body['request_id']);
    expect((await call('create_model', create(id, 0, { base_model: 'other' }))).status).toBe(409);
    const made = await result('create_model', create(id, 0));
    expect(made).toMatchObject({
      type: 'create_model',
      base_model: 'bigram',
      lora_config: { rank: 4, alpha: 32 },
    });
    expect((await call('create_model', create('session-none', 0))).status).toBe(404);
  });

  it.each([
    [{ lora_config: { rank: 0 } }, 400],
    [{ lora_config: { rank: 4, train_mlp: false, train_attn: false, train_unembed: false } }, 400],
    [{ optimizer_config: { type: 'dimuon' } }, 400],
    [{ lora_config: { rank: 'x' } }, 422],
    [{ base_model: '' }, 422],
  ])('is refused with %j', async (more, status) => {
    const { call, session } = await serve();
    expect((await call('create_model', create(await session(), 0, more))).status).toBe(status);
  });

  it('is made from a checkpoint by one request, under the name that clients give it', async () => {
    const { model, result, session, call } = await serve();
    const first = await model();
    await result('forward_backward', passBody(first, 1));
    await result('optim_step', { model_id: first, seq_id: 2, adam_params: { learning_rate: 0.1 } });
    const { path } = await result('save_weights', { model_id: first, seq_id: 3, path: 'a' });
    const id = await session();
    const load = { session_id: id, model_seq_id: 4, path, optimizer: true };
    const loaded = await result('load_weights', load);
    expect(loaded).toMatchObject({ type: 'load_weights', path, step: 1 });
    const alias = `${id}:train:4`;
    expect((await call('get_info', { model_id: alias })).body).toMatchObject({
      model_id: loaded['model_id'],
    });
    await result('forward_backward', passBody(alias, 1));
    const saved = await result('save_weights', { model_id: alias, seq_id: 2, path: 'b' });
    expect(saved['path']).toBe(`tinker://${String(loaded['model_id'])}/weights/b`);
    // Paths and routes know the name too.
    const info = await call('weights_info', { tinker_path: `tinker://${alias}/weights/b` });
    expect(info.body).toMatchObject({ base_model: 'bigram', lora_rank: 4 });
    expect(
      (await call(`training_runs/${encodeURIComponent(alias)}/checkpoints`)).body['checkpoints'],
    ).toHaveLength(1);
    expect(
      await result('load_weights', { ...load, model_seq_id: 5, path: 'tinker://x/weights/none' }),
    ).toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
    expect((await call('load_weights', { path, optimizer: true })).status).toBe(400);
  });

  it('is unloaded, and told as gone', async () => {
    const { call, model, result } = await serve();
    const id = await model();
    await call('optim_step', { model_id: id, seq_id: 2, adam_params: {} });
    expect(await result('unload_model', { model_id: id })).toEqual({ type: 'unload_model', model_id: id });
    expect((await call('forward_backward', passBody(id, 1))).status).toBe(410);
    expect((await call('get_info', { model_id: 'none' })).status).toBe(404);
  });

  it('waits for room, which programs that are gone make', async () => {
    const limits = { maxModels: 1, evictSeconds: 0.3, roomSeconds: 3, sessionSeconds: 100 };
    const { call, session, result, model } = await serve({ limits });
    const old = await model();
    const beating = await session();
    const alive = setInterval(() => void call('session_heartbeat', { session_id: beating }), 100);
    const made = await result('create_model', create(beating, 0));
    clearInterval(alive);
    expect(made).toMatchObject({ type: 'create_model' });
    expect((await call('get_info', { model_id: old })).status).toBe(410);
  }, 20_000);

  it('is refused where no room comes', async () => {
    const { session, result, model } = await serve({ limits: { maxModels: 1, roomSeconds: 0.3 } });
    await model();
    expect(await result('create_model', create(await session(), 0))).toMatchObject({
      category: 'user',
      error: expect.stringContaining('1 models are in training'),
    });
  });
});

describe('a session', () => {
  it('ends when it is not heard of, with its models', async () => {
    const { call, model, session, lines, backend } = await serve({ limits: { sessionSeconds: 1 } });
    const id = await session();
    const run = await model(id);
    const overheard = (): string => lines.join('\n');
    await expect.poll(overheard, { timeout: 20_000 }).toContain('no sign of life');
    expect((await call('session_heartbeat', { session_id: id })).status).toBe(410);
    expect((await call('get_info', { model_id: run })).status).toBe(410);
    expect(backend.log.at(-1)).toBe(`${run} unload`);
  });

  it('lives while there is work for it, and is finished by its program', async () => {
    const { call, model, session, backend } = await serve({ limits: { sessionSeconds: 1 } });
    const id = await session();
    const run = await model(id);
    let release: () => void = () => undefined;
    backend.before = () => new Promise<void>((resolve) => (release = resolve));
    const { body } = await call('forward_backward', passBody(run, 1));
    await sleep(2500);
    release();
    expect((await call('retrieve_future', { request_id: body['request_id'] })).body).toHaveProperty(
      'metrics',
    );
    backend.before = null;
    expect((await call(`sessions/${id}`)).body).toMatchObject({ training_run_ids: [run] });
    expect((await call('sessions')).body).toEqual({ sessions: [id] });
    expect((await call(`sessions/${id}/finish`, { reason: { type: 'success' } })).status).toBe(200);
    expect((await call(`sessions/${id}`)).status).toBe(410);
  });

  it('is one of so many', async () => {
    const { call } = await serve({ limits: { maxSessions: 2 } });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await call('create_session', { tags: [] })).status);
    expect(statuses).toEqual([200, 200, 429]);
  });
});

const prompt = { chunks: [{ type: 'encoded_text', tokens: [1, 2] }] };

describe('a sampler', () => {
  it('answers by its number once, and with what was asked for', async () => {
    const { call, session, result } = await serve();
    const id = await session();
    const made = { session_id: id, sampling_session_seq_id: 0, base_model: 'bigram' };
    const { body } = await call('create_sampling_session', made);
    expect((await call('create_sampling_session', made)).body).toEqual(body);
    expect((await call('create_sampling_session', { ...made, base_model: 'x' })).status).toBe(409);
    const ask = {
      sampling_session_id: body['sampling_session_id'],
      seq_id: 0,
      num_samples: 2,
      prompt,
      sampling_params: { max_tokens: 3, seed: 1 },
      prompt_logprobs: true,
      prompt_logprobs_last_n: 1,
    };
    const accepted = await call('asample', ask);
    expect(accepted.body['sample_sequence_ids']).toHaveLength(2);
    expect((await call('asample', ask)).body).toEqual(accepted.body);
    expect((await call('asample', { ...ask, num_samples: 1 })).status).toBe(409);
    const drawn = await result('asample', ask);
    expect(drawn).toMatchObject({
      sequences: [{ tokens: expect.any(Array) }, {}],
      prompt_logprobs: [null, expect.any(Number)],
    });
    for (const more of [
      { topk_sample_logprobs: 2 },
      { prompt_alt_tokens_k: 1 },
      { record_stability_info: true },
      { target_prompt_logprobs: {} },
      { prompt: { chunks: [] } },
      { sampling_params: { temperature: -1 } },
      { prompt_logprobs_last_n: 2 },
    ])
      expect((await call('asample', { ...ask, seq_id: 9, ...more })).status, JSON.stringify(more)).toBe(400);
    expect((await call(`samplers/${String(body['sampling_session_id'])}`)).body).toMatchObject({
      base_model: 'bigram',
    });
  });

  it('is opened again where it had to make room, but for a snapshot without a name', async () => {
    const { call, model, session, result } = await serve({ limits: { maxSamplers: 2 } });
    const id = await session();
    const run = await model(id);
    const save = { model_id: run, seq_id: 1, sampling_session_seq_id: 0 };
    const { sampling_session_id: fresh } = await result('save_weights_for_sampler', save);
    const { path } = await result('save_weights_for_sampler', { model_id: run, seq_id: 2, path: 'named' });
    const open = async (seq: number, o: object): Promise<unknown> =>
      (await call('create_sampling_session', { session_id: id, sampling_session_seq_id: seq, ...o })).body[
        'sampling_session_id'
      ];
    const named = await open(1, { model_path: path });
    for (const seq of [2, 3, 4]) await open(seq, { base_model: 'bigram' });
    const draw = (sampler: unknown) =>
      call('asample', {
        sampling_session_id: sampler,
        seq_id: 0,
        prompt,
        sampling_params: { max_tokens: 1 },
      });
    expect((await draw(fresh)).status).toBe(404);
    expect((await draw(named)).status).toBe(200);
    expect(
      (await call('asample', { model_path: path, prompt, sampling_params: { max_tokens: 1 } })).status,
    ).toBe(200);
    expect((await call('asample', { prompt, sampling_params: { max_tokens: 1 } })).status).toBe(400);
  });
});
