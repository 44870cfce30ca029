/**
 * Example: reinforcement learning of a form. The embedded model begins its stories in several ways; stories that begin
 * with "Once there was" are rewarded with 1, all others with 0, and nothing else is told. The reward is measured before
 * and after on animals that it is not trained with.
 */
import type { Rollout } from '../../api/ppo-math.ts';
import { trainRl } from '../rl.ts';
import { measureAnswers, openExample, promptOf, type DrawnAnswer, type ExampleOptions } from './example.ts';

const ANIMALS = ['fox', 'owl', 'bear', 'duck', 'frog', 'hen', 'wolf', 'cat'];
const OTHERS = ['goat', 'mouse', 'horse', 'turtle'];
const OPENING = 'Once there was';
/** The opening; the rest of a story would only take time. */
const MAX_TOKENS = 3;
/** Of the beginnings that are shown. */
const SHOWN_TOKENS = 12;
const GROUP = 8;
const PROMPTS = 4;

const question = (animal: string): string => `Tell me a story about a ${animal}.`;

/** 1 for a story that begins as wanted, else 0. */
export const formReward = (text: string): number => (text.startsWith(OPENING) ? 1 : 0);

export interface RlExampleStep {
  iteration: number;
  /** Of the answers that were drawn, before the update. */
  meanReward: number;
  klMean: number;
  loss: number;
  tokensSeen: number;
}

export type RlExampleProgress =
  | { phase: 'before' | 'after'; done: number; total: number; meanReward: number }
  | ({ phase: 'train'; done: number; total: number } & RlExampleStep);

export interface RlExampleResult {
  example: 'rl';
  seed: number;
  rewardBefore: number;
  rewardAfter: number;
  steps: RlExampleStep[];
  /** One answer to each question that was not trained on. */
  answersBefore: DrawnAnswer[];
  answersAfter: DrawnAnswer[];
  /** The checkpoint that was saved. */
  path: string | null;
}

export interface RlExampleOptions extends ExampleOptions<RlExampleProgress> {
  /** 10 unless said otherwise, rounded up to whole passes over the prompts (2 each). */
  iterations?: number;
}

/** Runs the example. The same seed on the same GPU gives the same figures. Throws the signal's reason when it is stopped. */
export async function runRlExample(options: RlExampleOptions): Promise<RlExampleResult> {
  const { seed = 0, iterations = 10, onProgress, signal } = options;
  const example = await openExample(options, 'rl-form');
  const { client, renderer, decode } = example;
  const perPass = ANIMALS.length / PROMPTS;
  const epochs = Math.ceil(iterations / perPass);
  const total = epochs * perPass + 2;
  const measure = async (phase: 'before' | 'after', done: number): Promise<[number, DrawnAnswer[]]> => {
    const limits = { answers: GROUP, maxTokens: MAX_TOKENS, shownTokens: SHOWN_TOKENS, seed, signal };
    const [meanReward, shown] = await measureAnswers(
      example,
      OTHERS.map(question),
      (text) => formReward(text) === 1,
      limits,
    );
    onProgress?.({ phase, done, total, meanReward });
    return [meanReward, shown];
  };
  try {
    const [rewardBefore, answersBefore] = await measure('before', 1);
    const steps: RlExampleStep[] = [];
    const { path } = await trainRl(client, {
      prompts: ANIMALS.map((animal) => promptOf(renderer, question(animal))),
      rewardFn: ({ tokens }: Rollout) => formReward(decode(tokens)),
      promptsPerIteration: PROMPTS,
      groupSize: GROUP,
      epochs,
      seed,
      shuffleSeed: seed,
      samplingParams: { maxTokens: MAX_TOKENS, temperature: 1, stop: renderer.getStopSequences() },
      // Falling: with a constant rate a policy that is already good is thrown back by its few bad answers.
      learningRate: 4e-3,
      schedule: 'linear',
      saveEvery: 0,
      ...(signal === undefined ? {} : { signal }),
      onStep: ({ iteration, meanReward, klMean, loss, tokensSeen }) => {
        const step = { iteration, meanReward, klMean, loss, tokensSeen };
        steps.push(step);
        onProgress?.({ phase: 'train', done: iteration + 1, total, ...step });
      },
    });
    const [rewardAfter, answersAfter] = await measure('after', total);
    return { example: 'rl', seed, rewardBefore, rewardAfter, steps, answersBefore, answersAfter, path };
  } finally {
    await client.dispose();
  }
}
