/** Sampling sessions and samples. */
import type { SamplerSource, Turn } from '../api/backend.ts';
import { BadRequestError } from '../api/errors.ts';
import { ModelInput } from '../api/model-input.ts';
import type { SampleResponse } from '../api/types.ts';
import type { z } from 'zod';
import type { ServeContext } from './context.ts';
import { HttpFailure } from './failure.ts';
import { fingerprint } from './fingerprint.ts';
import type { FutureValue } from './futures.ts';
import { readPath } from './paths.ts';
import { json, type Reply } from './reply.ts';
import { route, type Route } from './route.ts';
import { samplerId } from './sampler-id.ts';
import type { SamplerEntry } from './samplers.ts';
import { readSample } from './wire-read.ts';
import { createSamplerSchema, samplerSchema, sampleSchema, type WireSample } from './wire-requests.ts';
import { tinkerPath } from './wire-write.ts';

const turn: Turn = { seqId: 0, onQueueState: () => undefined };

/** The weights that a request names: exactly one of the two. */
function sourceOf(
  { models }: ServeContext,
  o: { base_model?: string | null | undefined; model_path?: string | null | undefined },
): { source: SamplerSource; modelPath: string | null } {
  if (typeof o.model_path === 'string') {
    const path = readPath(models, o.model_path, 'sampler');
    return { source: { modelPath: path }, modelPath: tinkerPath(path.path) };
  }
  if (typeof o.base_model === 'string') return { source: { baseModel: o.base_model }, modelPath: null };
  throw new BadRequestError({
    message: 'The request names no weights.',
    fix: 'Give model_path, or base_model.',
  });
}

async function createSession(
  context: ServeContext,
  body: z.infer<typeof createSamplerSchema>,
): Promise<Reply> {
  const session = context.sessions.find(body.session_id);
  const id = samplerId(session.id, body.sampling_session_seq_id);
  const { source, modelPath } = sourceOf(context, body);
  const answer = json({ type: 'create_sampling_session', sampling_session_id: id });
  if (context.samplers.has(id)) {
    const before = context.samplers.find(id);
    const same = fingerprint(before.source) === fingerprint(source);
    if (same) return answer;
    throw new HttpFailure(409, `The sampling session ${id} was made with other weights.`);
  }
  const opening = context.samplers.open({ id, sessionId: session.id, modelPath }, source);
  await context.sessions.during(session.id, opening);
  session.samplerIds.add(id);
  return answer;
}

/** Log-probabilities of the last positions alone, as asked for. */
function lastOnly(response: SampleResponse, last: number | null | undefined): SampleResponse {
  const { promptLogprobs, topkPromptLogprobs } = response;
  if (last === null || last === undefined || promptLogprobs === undefined) return response;
  const from = promptLogprobs.length - last;
  const cut = <T>(values: readonly T[]): (T | null)[] => values.map((v, i) => (i < from ? null : v));
  return {
    ...response,
    promptLogprobs: cut(promptLogprobs),
    ...(topkPromptLogprobs === undefined ? {} : { topkPromptLogprobs: cut(topkPromptLogprobs) }),
  };
}

/** Samplers of requests that name their weights themselves. */
async function directSampler(context: ServeContext, body: WireSample): Promise<SamplerEntry> {
  const { source, modelPath } = sourceOf(context, body);
  const id = `direct ${fingerprint(source)}`;
  if (context.samplers.has(id)) return context.samplers.find(id);
  return context.samplers.open({ id, sessionId: null, modelPath }, source);
}

/** Requests of a sampling session that are remembered. */
const REMEMBERED = 4096;

async function sample(context: ServeContext, body: WireSample): Promise<Reply> {
  const { samplers, sessions, futures, queue } = context;
  const request = readSample(body);
  const last = body.prompt_logprobs_last_n;
  const length = ModelInput.length({ chunks: request.prompt });
  if (typeof last === 'number' && (!request.promptLogprobs || (length !== null && last >= length)))
    throw new BadRequestError({
      message: `prompt_logprobs_last_n is ${String(last)} for a prompt of ${String(length)} tokens; it goes with prompt_logprobs, from 1 to one less than the prompt has.`,
    });
  const named = typeof body.sampling_session_id === 'string';
  const entry = named ? samplers.find(body.sampling_session_id ?? '') : await directSampler(context, body);
  if (entry.sessionId !== null) sessions.find(entry.sessionId);
  const accepted = (requestId: string): Reply =>
    json({
      request_id: requestId,
      sample_sequence_ids: Array.from({ length: request.numSamples }, (_, i) => `${requestId}-${String(i)}`),
    });
  const seq = named ? (body.seq_id ?? null) : null;
  const print = seq === null ? '' : fingerprint(body);
  const before = seq === null ? undefined : entry.requests.get(seq);
  if (before !== undefined && futures.has(before.requestId)) {
    if (before.print === print) return accepted(before.requestId);
    throw new HttpFailure(
      409,
      `Sample ${String(seq)} of this sampling session was asked for with another content.`,
    );
  }
  futures.admit();
  const work = (): Promise<FutureValue> =>
    queue.run(() =>
      samplers.use(entry, async (sampler): Promise<FutureValue> => {
        const { result } = await sampler.sample(request, turn);
        return { type: 'sample', response: lastOnly(await result, last) };
      }),
    );
  const { id } = futures.open(() =>
    entry.sessionId === null ? work() : sessions.during(entry.sessionId, work()),
  );
  if (seq !== null) {
    entry.requests.set(seq, { print, requestId: id });
    for (const old of entry.requests.keys()) {
      if (entry.requests.size <= REMEMBERED) break;
      entry.requests.delete(old);
    }
  }
  return accepted(id);
}

export function samplingRoutes(context: ServeContext): Route[] {
  const { samplers, options } = context;
  return [
    route({
      method: 'POST',
      path: 'create_sampling_session',
      summary: 'Opens weights for sampling.',
      body: createSamplerSchema,
      handle: ({ body }) => createSession(context, body),
    }),
    route({
      method: 'POST',
      path: 'join_sampling_session',
      summary: 'A number for one more client of a sampling session.',
      body: samplerSchema,
      handle: ({ body }) => {
        const entry = samplers.find(body.sampling_session_id);
        entry.clones += 1;
        return json({ type: 'join_sampling_session', client_counter: entry.clones });
      },
    }),
    route({
      method: 'POST',
      path: 'asample',
      summary: 'Draws samples; a sampling session, a path or a base model says from what.',
      body: sampleSchema,
      handle: ({ body }) => sample(context, body),
    }),
    route({
      method: 'GET',
      path: 'samplers/:sampler',
      summary: 'What a sampling session answers with.',
      handle: ({ params }) => {
        const { id, baseModel, modelPath } = samplers.find(params['sampler'] ?? '');
        // Clients load the tokenizer by this name, so it is the folder where there is one.
        const name = options.tokenizerFolder(baseModel) ?? baseModel;
        return json({ sampler_id: id, base_model: name, model_path: modelPath });
      },
    }),
  ];
}
