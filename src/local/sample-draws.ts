/** The samples of a request as draws of the engine, and what they have become once they are drawn. */
import type { SampleRequest } from '../api/backend.ts';
import { BadRequestError } from '../api/errors.ts';
import type { SampledSequence } from '../api/types.ts';
import { createStreamDecoder } from '../data/stream-decoder.ts';
import type { Draw } from '../engine/index.ts';
import { philox4x32 } from '../philox.ts';
import type { OpenBase } from './bases.ts';

type Model = OpenBase['model'];

/** Sets this use of the seed apart from the others. */
const PURPOSE = 0x4d554c54;

/** The seed of one of several samples: a stream of its own, from (seed, index). */
export function sampleSeed(seed: number, index: number): number {
  const [high, low] = philox4x32([index, 0, 0, PURPOSE], [seed % 2 ** 32, Math.floor(seed / 2 ** 32)]);
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}

/** The prompt's tokens. Throws BadRequestError for what is no text, has no room in the context, or is not in the vocabulary. */
export function promptTokens({ prompt }: SampleRequest, { config }: Model): number[] {
  const ids = prompt.flatMap((chunk) => {
    if (chunk.type === 'encoded_text') return [...chunk.tokens];
    throw new BadRequestError({ message: `The model takes text alone, and the prompt has a ${chunk.type}.` });
  });
  const { maxPositions, vocabSize } = config;
  if (ids.length >= maxPositions) {
    throw new BadRequestError({
      message: `The prompt has ${String(ids.length)} tokens; the model's context has ${String(maxPositions)}.`,
      fix: 'Use a shorter prompt.',
    });
  }
  if (ids.length === 0) {
    throw new BadRequestError({ message: 'The prompt is empty.', fix: 'Give it at least one token.' });
  }
  const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (outside === undefined) return ids;
  throw new BadRequestError({
    message: `The prompt has the token ${String(outside)}; the vocabulary has ${String(vocabSize)}.`,
    fix: "Use the model's own tokenizer.",
  });
}

export interface DrawnSample {
  draw: Draw;
  /** Filled in while it is drawn. Tokens that end a sample are part of it, as in the other services. */
  sequence: SampledSequence & { logprobs: number[] };
}

/** All samples of a request, to be drawn in any order; `on` is told of each token and each end as it comes. */
export function drawsOf(
  { params, numSamples }: SampleRequest,
  prompt: readonly number[],
  model: Model,
  on: {
    token?: (sample: number, token: number, logprob: number) => void;
    ended?: (sample: number) => void;
  } = {},
): DrawnSample[] {
  const random = params.seed ?? Math.floor(Math.random() * 2 ** 48);
  const left = model.config.maxPositions - prompt.length;
  const ends = endsOf(params, model);
  return Array.from({ length: numSamples }, (_, sample): DrawnSample => {
    const sequence: DrawnSample['sequence'] = { stopReason: 'length', tokens: [], logprobs: [] };
    const isEnd = ends();
    const options = {
      maxTokens: Math.min(params.maxTokens ?? left, left),
      temperature: params.temperature,
      topK: Math.max(0, params.topK),
      topP: params.topP,
      seed: sampleSeed(random, sample),
      // What ends a sample is told all the same, so it is looked for below.
      stopIds: [],
    };
    const wanted: Draw['wanted'] = ({ id, logprob }) => {
      sequence.tokens.push(id);
      sequence.logprobs.push(logprob);
      on.token?.(sample, id, logprob);
      if (!isEnd(id)) return true;
      sequence.stopReason = 'stop';
      return false;
    };
    return { draw: { prompt, options, wanted, ended: () => on.ended?.(sample) }, sequence };
  });
}

/** Makes, for each sample, what says whether a token ends it: by its id, or by a text that it completes. */
function endsOf(
  { stop }: SampleRequest['params'],
  { stopIds, tokenizer }: Model,
): () => (id: number) => boolean {
  const ends = new Set([...stopIds, ...(stop !== null && 'tokens' in stop ? stop.tokens : [])]);
  const texts = stop !== null && 'strings' in stop ? stop.strings : [];
  if (texts.length === 0) return () => (id) => ends.has(id);
  const longest = texts.reduce((most, text) => Math.max(most, text.length), 0);
  return () => {
    const decoder = createStreamDecoder(tokenizer, { skipSpecialTokens: false });
    let tail = '';
    return (id) => {
      tail += decoder.push(id);
      const found = ends.has(id) || texts.some((text) => tail.includes(text));
      tail = tail.slice(-longest);
      return found;
    };
  };
}
