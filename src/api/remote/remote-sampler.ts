/** A sampler on a server, over a sampling session. */
import type {
  Accepted,
  BackendSampler,
  SampleRequest,
  SamplerHandle,
  SamplerSource,
  Turn,
} from '../backend.ts';
import { BadRequestError, NotFoundError } from '../errors.ts';
import { ModelInput } from '../model-input.ts';
import { CheckpointNotFoundError, ClientClosedError, UnsupportedFeatureError } from '../own-errors.ts';
import { formatPath, type ParsedCheckpointPath } from '../paths.ts';
import type { ApiTokenizer, SampleResponse } from '../types.ts';
import { invalidAnswer, type Reply } from './answer.ts';
import { decodeSampleResponse } from './proto-sample.ts';
import { submit, type RemoteContext } from './remote-context.ts';
import { createSessionFutures, type SessionFutures } from './session-futures.ts';
import { encodeSample } from './wire-training.ts';
import { decodeSample } from './wire-sample.ts';
import { reader } from './wire-read.ts';

/** What a sampler answers with. */
interface Weights {
  samplerId: string;
  /** Null for the base model. */
  modelPath: string | null;
  snapshot: string | null;
  runId: string | null;
  /** Which of the clients of one session this is. Each has a block of numbers of its own, or they would clash. */
  clone: number;
  futures: SessionFutures | null;
}

/** Numbers of one client of a session. */
const BLOCK = 1_000_000_000;

function weightsOf(context: RemoteContext, o: Omit<Weights, 'futures'>): Weights {
  const { traits, transport, timing, poll } = context;
  if (!traits.sessionFutures) return { ...o, futures: null };
  const { samplerId, clone } = o;
  return {
    ...o,
    futures: createSessionFutures({ transport, timing, signal: poll.signal, samplerId, clone }),
  };
}

/** Of a session that others may use as well, in this program or another. */
const randomClone = (): number => 1 + ((crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) % 1_000_000);

const samplerPath = (context: RemoteContext, path: ParsedCheckpointPath): string => {
  if (path.checkpointType === 'sampler' && path.alias === null)
    return formatPath('tinker', path.runId, 'sampler', path.name);
  throw new UnsupportedFeatureError({
    feature: 'sampling from a training checkpoint',
    backend: context.traits.label,
    why: `${path.path} holds no sampler weights`,
    fix: 'Save with saveWeightsForSampler, and sample from that.',
  });
};

async function openSession(
  context: RemoteContext,
  base: string | null,
  path: ParsedCheckpointPath | null,
): Promise<Weights> {
  const { transport, session, poll } = context;
  const modelPath = path === null ? null : samplerPath(context, path);
  const reply = await transport
    .request(
      {
        method: 'POST',
        path: 'create_sampling_session',
        json: {
          session_id: session.id,
          sampling_session_seq_id: session.nextSamplingSeq(),
          base_model: base,
          model_path: modelPath,
          type: 'create_sampling_session',
        },
        signal: poll.signal,
      },
      { mode: 'safe' },
    )
    .catch((error: unknown) => {
      if (modelPath === null || !(error instanceof NotFoundError)) throw error;
      throw new CheckpointNotFoundError({ message: `There is no checkpoint ${modelPath}.`, cause: error });
    });
  const samplerId = reader(reply.body, 'create_sampling_session').text('sampling_session_id');
  return weightsOf(context, {
    samplerId,
    modelPath,
    snapshot: modelPath,
    runId: path?.runId ?? null,
    clone: 0,
  });
}

/** The base model of a sampler, from what the server knows of it. */
async function baseModelOf(context: RemoteContext, samplerId: string): Promise<string> {
  const reply = await context.transport.request(
    { method: 'GET', path: `samplers/${encodeURIComponent(samplerId)}`, signal: context.poll.signal },
    { mode: 'safe' },
  );
  return reader(reply.body, 'samplers').text('base_model');
}

export async function createRemoteSampler(
  context: RemoteContext,
  source: SamplerSource,
): Promise<BackendSampler> {
  let weights: Weights;
  let base: string | null = null;
  if ('samplerId' in source) {
    const { samplerId, snapshotName } = source;
    const clone = context.freshSamplers.delete(samplerId) ? 0 : randomClone();
    weights = weightsOf(context, { samplerId, modelPath: null, snapshot: snapshotName, runId: null, clone });
  } else if ('modelPath' in source) {
    weights = await openSession(context, null, source.modelPath);
  } else {
    base = source.baseModel;
    weights = await openSession(context, base, null);
  }
  const baseModel = base ?? (await baseModelOf(context, weights.samplerId));
  return new RemoteSampler(context, weights, baseModel);
}

class RemoteSampler implements BackendSampler {
  readonly baseModel: string;
  readonly stream = null;
  readonly #context: RemoteContext;
  #weights: Weights;
  #closed = false;

  constructor(context: RemoteContext, weights: Weights, baseModel: string) {
    this.#context = context;
    this.#weights = weights;
    this.baseModel = baseModel;
  }

  get snapshot(): string | null {
    return this.#weights.snapshot;
  }

  async sample(request: SampleRequest, turn: Turn): Promise<Accepted<SampleResponse>> {
    if (this.#closed) throw new ClientClosedError({ message: 'The sampler is closed.' });
    const { traits, guard } = this.#context;
    const weights = this.#weights;
    const { futures } = weights;
    const maxTokens = this.#maxTokens(request);
    if (request.topkPromptLogprobs > 0 && traits.skyrlJax && !traits.deletes) {
      throw new UnsupportedFeatureError({
        feature: 'topkPromptLogprobs',
        backend: traits.label,
        why: 'it drops the option',
        seqId: turn.seqId,
      });
    }
    const send = (): Promise<Accepted<SampleResponse>> =>
      submit(
        this.#context,
        {
          method: 'POST',
          path: 'asample',
          json: {
            sampling_session_id: weights.samplerId,
            seq_id: weights.clone * BLOCK + turn.seqId,
            ...encodeSample(request, maxTokens),
          },
        },
        {
          turn,
          // Drawing again changes nothing.
          repeatable: true,
          ...(futures === null ? {} : { before: (id: string) => futures.done(id) }),
          room: {
            limiter: this.#context.dispatch.sampling,
            bytes: 4 * (ModelInput.length({ chunks: request.prompt }) ?? 0),
          },
          ...(traits.dialect === 'skyrl' ? {} : { accept: 'application/x-protobuf, application/json' }),
          decode: (reply) => this.#decode(reply, request, weights),
        },
      );
    if (!traits.skyrlJax || weights.snapshot === null) return send();
    if (weights.runId !== null && !guard.tracks(weights.runId)) {
      this.#context.warnings.once(
        {
          code: 'SAMPLING_LOADS_WEIGHTS',
          message: `SkyRL loads ${weights.snapshot} into the slot of its model to sample: a program that trains ${weights.runId} at this time would lose its weights.`,
        },
        weights.runId,
      );
    }
    // Guarded until the result is there: only then has the server used the weights.
    let accept: (accepted: Accepted<SampleResponse>) => void = () => undefined;
    let refuse: (error: unknown) => void = () => undefined;
    const accepted = new Promise<Accepted<SampleResponse>>((resolve, reject) => {
      accept = resolve;
      refuse = reject;
    });
    const known = weights.modelPath ?? weights.samplerId;
    guard
      .during(known, weights.runId, async () => {
        const sent = await send();
        accept(sent);
        await sent.result;
      })
      .catch(refuse);
    return accepted;
  }

  #maxTokens(request: SampleRequest): number | null {
    const { traits, contextLength } = this.#context;
    if (request.params.maxTokens !== null || traits.dialect !== 'skyrl') return null;
    const context = contextLength(this.baseModel);
    const prompt = ModelInput.length({ chunks: request.prompt }) ?? 0;
    if (context !== null && context > prompt) return context - prompt;
    throw new BadRequestError({
      message: `${traits.label} needs maxTokens, and does not say how long the context of ${this.baseModel} is.`,
      fix: 'Set samplingParams.maxTokens, or contextLength of the backend.',
    });
  }

  #decode(reply: Reply, request: SampleRequest, weights: Weights): SampleResponse {
    const named = (response: SampleResponse): SampleResponse =>
      weights.snapshot === null ? response : { ...response, snapshot: weights.snapshot };
    if (reply.protobuf !== null) return named(decodeSampleResponse(reply.protobuf));
    const { response, shifted } = decodeSample(
      reply.body,
      ModelInput.length({ chunks: request.prompt }),
      'asample',
    );
    if (response.sequences.length !== request.numSamples) {
      throw invalidAnswer(
        'asample',
        `has ${String(response.sequences.length)} samples, not ${String(request.numSamples)}`,
      );
    }
    if (shifted) {
      this.#context.warnings.once({
        code: 'PROMPT_LOGPROBS_SHIFTED',
        message:
          'The server leaves out the first prompt token in log-probabilities; null is put in its place.',
      });
    }
    return named(response);
  }

  async hotLoad(path: ParsedCheckpointPath): Promise<void> {
    this.#weights = await openSession(this.#context, null, path);
  }

  tokenizer(): Promise<ApiTokenizer | null> {
    return Promise.resolve(null);
  }

  handle(): Promise<SamplerHandle> {
    const { modelPath, samplerId, snapshot } = this.#weights;
    // A session of its own for whoever can open one: two clients of one session would have to share its numbers.
    const own = modelPath !== null || snapshot === null;
    const handle = { kind: 'lorikeet-sampler', modelPath, baseModel: this.baseModel } as const;
    return Promise.resolve({ ...handle, samplerId: own ? null : samplerId });
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }
}
