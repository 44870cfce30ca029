/** What the examples have in common: their options, the client they train, and answers drawn from its present weights. */
import { deriveSeed } from '../../api/ppo-math.ts';
import type { ServiceClient } from '../../api/service-client.ts';
import type { TrainingClient } from '../../api/training-client.ts';
import { openClient } from '../open-client.ts';
import type { Renderer } from '../renderers/renderer.ts';
import { tinyChat } from './tiny-chat.ts';

export const EMBEDDED_MODEL = 'lorikeet-tiny';

export interface ExampleOptions<Progress> {
  service: ServiceClient;
  /** The embedded model's name on this service; `lorikeet-tiny` unless said otherwise. */
  baseModel?: string;
  /** Of everything that is drawn: the adapter's start, the order of the rows, the answers. 0 unless said otherwise. */
  seed?: number;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

export interface ExampleClient {
  client: TrainingClient;
  renderer: Renderer;
  decode: (tokens: readonly number[]) => string;
}

/** A small fresh adapter on the embedded model. */
export async function openExample<P>(
  { service, baseModel = EMBEDDED_MODEL, seed = 0 }: ExampleOptions<P>,
  title: string,
): Promise<ExampleClient> {
  const client = await openClient(service, {
    baseModel,
    rank: 8,
    alpha: 16,
    seed,
    trainUnembed: false,
    userMetadata: { example: title },
    rendererName: 'chatml',
  });
  const tokenizer = await client.getTokenizer();
  const renderer = tinyChat(tokenizer);
  return { client, renderer, decode: (tokens) => renderer.parseResponse(tokens).message.content };
}

/** The tokens that ask for an answer to a question. */
export const promptOf = (renderer: Renderer, question: string): number[] =>
  renderer
    .buildGenerationPrompt([{ role: 'user', content: question }])
    .chunks.flatMap((chunk) => (chunk.type === 'encoded_text' ? [...chunk.tokens] : []));

export interface DrawnAnswer {
  question: string;
  text: string;
}

/** Draws answers from the present weights, question by question. The same seed draws the same. */
async function drawAnswers(
  { client, renderer, decode }: ExampleClient,
  questions: readonly string[],
  options: { answers: number; maxTokens: number; seed: number; signal?: AbortSignal | undefined },
): Promise<DrawnAnswer[]> {
  const sampler = await client.saveWeightsAndGetSamplingClient();
  try {
    const drawn: DrawnAnswer[] = [];
    for (const [i, question] of questions.entries()) {
      options.signal?.throwIfAborted();
      const { sequences } = await sampler.sample(promptOf(renderer, question), {
        numSamples: options.answers,
        samplingParams: {
          maxTokens: options.maxTokens,
          temperature: 1,
          seed: deriveSeed(options.seed, i),
          stop: renderer.getStopSequences(),
        },
      });
      for (const { tokens } of sequences) drawn.push({ question, text: decode(tokens) });
    }
    return drawn;
  } finally {
    await sampler.close();
  }
}

/** The share of answers that are as wanted. */
const shareOf = (drawn: readonly DrawnAnswer[], wanted: (text: string) => boolean): number =>
  drawn.filter(({ text }) => wanted(text)).length / drawn.length;

/** How much is drawn for a measurement, and how long the answers are that are shown with it. */
export interface MeasureOptions {
  answers: number;
  maxTokens: number;
  shownTokens: number;
  seed: number;
  signal?: AbortSignal | undefined;
}

/** The share of drawn answers that are as wanted, and one longer answer to each question to show. */
export async function measureAnswers(
  example: ExampleClient,
  questions: readonly string[],
  wanted: (text: string) => boolean,
  { shownTokens, ...options }: MeasureOptions,
): Promise<[share: number, shown: DrawnAnswer[]]> {
  const drawn = await drawAnswers(example, questions, options);
  const shown = await drawAnswers(example, questions, { ...options, answers: 1, maxTokens: shownTokens });
  return [shareOf(drawn, wanted), shown];
}
