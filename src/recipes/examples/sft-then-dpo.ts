/**
 * Example: supervised fine-tuning, then direct preference optimisation. First the embedded model learns to answer
 * questions about animals in two tones, with equal parts of both; then pairs say that one of them is liked better.
 * Preference accuracy and margin are measured on animals that neither stage is trained with, and so is the share of
 * drawn answers in the liked tone.
 */
import { scorePairs, trainDpo } from '../dpo.ts';
import { dpoMetrics, type DpoMetrics, type PreferencePair } from '../dpo-loss.ts';
import { supervisedDatum } from '../datum.ts';
import type { Renderer } from '../renderers/renderer.ts';
import { trainSft } from '../sft.ts';
import { measureAnswers, openExample, promptOf, type DrawnAnswer, type ExampleOptions } from './example.ts';

/** What each animal eats in the embedded model's world. */
const FOOD: Readonly<Record<string, string>> = {
  fox: 'berries',
  owl: 'mice',
  cat: 'fish',
  dog: 'bones',
  cow: 'grass',
  bear: 'honey',
  rabbit: 'carrots',
  mouse: 'cheese',
  horse: 'hay',
  pig: 'apples',
  hen: 'corn',
  bee: 'nectar',
};
const OTHERS: Readonly<Record<string, string>> = {
  frog: 'flies',
  sheep: 'clover',
  goat: 'leaves',
  parrot: 'seeds',
};
const LIKED = 'My friend!';
const OTHER = 'Of course!';

const question = (animal: string): string => `What does the ${animal} eat?`;
const answer = (tone: string, animal: string, food: string): string => `${tone} The ${animal} eats ${food}.`;

/** The tone is in the first three. */
const MAX_TOKENS = 3;
const ANSWERS = 6;
/** Of the answers that are shown. */
const SHOWN_TOKENS = 14;

export interface DpoExampleStep {
  stage: 'sft' | 'dpo';
  step: number;
  loss: number;
  /** Of the pairs of the batch before the step. */
  accuracy?: number;
  margin?: number;
}

export type DpoExampleProgress =
  | { phase: 'measure'; done: number; total: number; likedShare: number }
  | ({ phase: 'sft' | 'dpo'; done: number; total: number } & DpoExampleStep);

export interface DpoExampleResult {
  example: 'dpo';
  seed: number;
  /** Share of answers in the liked tone: of the model as it is, after SFT, after DPO. */
  likedShare: { base: number; sft: number; dpo: number };
  /** Of pairs that were not trained on, against the weights after SFT. */
  before: DpoMetrics;
  after: DpoMetrics;
  steps: DpoExampleStep[];
  answersSft: DrawnAnswer[];
  answersDpo: DrawnAnswer[];
  path: string | null;
}

export interface DpoExampleOptions extends ExampleOptions<DpoExampleProgress> {
  /** Passes over the rows and over the pairs; 6 and 3 unless said otherwise. */
  sftEpochs?: number;
  dpoEpochs?: number;
}

const SFT_BATCH = 4;
const DPO_BATCH = 6;
const BETA = 0.1;

/** What stands after the prompt: the answer with its end. */
function completionOf(renderer: Renderer, ask: string, text: string): number[] {
  const { modelInput } = renderer.buildSupervisedExample([
    { role: 'user', content: ask },
    { role: 'assistant', content: text },
  ]);
  const tokens = modelInput.chunks.flatMap((chunk) =>
    chunk.type === 'encoded_text' ? [...chunk.tokens] : [],
  );
  const [stop] = renderer.getStopSequences();
  const prompt = promptOf(renderer, ask);
  return tokens.slice(prompt.length, tokens.lastIndexOf(Number(stop)) + 1);
}

const pairsOf = (renderer: Renderer, animals: Readonly<Record<string, string>>): PreferencePair[] =>
  Object.entries(animals).map(([animal, food]) => ({
    prompt: promptOf(renderer, question(animal)),
    chosen: completionOf(renderer, question(animal), answer(LIKED, animal, food)),
    rejected: completionOf(renderer, question(animal), answer(OTHER, animal, food)),
  }));

/** Runs the example. The same seed on the same GPU gives the same figures. Throws the signal's reason when it is stopped. */
export async function runDpoExample(options: DpoExampleOptions): Promise<DpoExampleResult> {
  const { service, seed = 0, sftEpochs = 6, dpoEpochs = 3, onProgress, signal } = options;
  const example = await openExample(options, 'sft-then-dpo');
  const { client, renderer } = example;
  const stop = signal === undefined ? {} : { signal };
  const entries = Object.entries(FOOD);
  const rows = entries.flatMap(([animal, food]) =>
    [LIKED, OTHER].map((tone) =>
      supervisedDatum(
        renderer.buildSupervisedExample([
          { role: 'user', content: question(animal) },
          { role: 'assistant', content: answer(tone, animal, food) },
        ]),
      ),
    ),
  );
  const sftSteps = sftEpochs * Math.ceil(rows.length / SFT_BATCH);
  const dpoSteps = dpoEpochs * Math.ceil(entries.length / DPO_BATCH);
  const total = sftSteps + dpoSteps + 3;
  const steps: DpoExampleStep[] = [];
  const add = (done: number, step: DpoExampleStep): void => {
    steps.push(step);
    onProgress?.({ phase: step.stage, done, total, ...step });
  };
  const measure = async (done: number): Promise<[number, DrawnAnswer[]]> => {
    const limits = { answers: ANSWERS, maxTokens: MAX_TOKENS, shownTokens: SHOWN_TOKENS, seed, signal };
    const [likedShare, shown] = await measureAnswers(
      example,
      Object.keys(OTHERS).map(question),
      (text) => text.startsWith(LIKED),
      limits,
    );
    onProgress?.({ phase: 'measure', done, total, likedShare });
    return [likedShare, shown];
  };
  try {
    const [base] = await measure(1);
    await trainSft(client, {
      data: rows,
      batchSize: SFT_BATCH,
      epochs: sftEpochs,
      shuffleSeed: seed,
      learningRate: 3e-3,
      saveEvery: 0,
      saveFinal: false,
      ...stop,
      onStep: ({ step, loss }) => {
        add(step + 1, { stage: 'sft', step, loss });
      },
    });
    const [sft, answersSft] = await measure(sftSteps + 2);
    // The weights alone: the moments of SFT are far larger than those of DPO, and would steer its first steps.
    const { path: referencePath } = await client.saveState('sft');
    await client.loadState(referencePath);
    const evalPairs = pairsOf(renderer, OTHERS);
    const scoresBefore = await scorePairs(client, evalPairs, DPO_BATCH);
    const { path } = await trainDpo(service, client, {
      pairs: pairsOf(renderer, FOOD),
      referencePath,
      batchSize: DPO_BATCH,
      epochs: dpoEpochs,
      shuffleSeed: seed,
      learningRate: 1e-3,
      schedule: 'constant',
      beta: BETA,
      saveEvery: 0,
      ...stop,
      onStep: ({ step, loss, accuracy, margin }) => {
        add(sftSteps + 2 + step, { stage: 'dpo', step, loss, accuracy, margin });
      },
    });
    const [dpo, answersDpo] = await measure(total);
    const before = dpoMetrics(scoresBefore, scoresBefore, BETA);
    const after = dpoMetrics(await scorePairs(client, evalPairs, DPO_BATCH), scoresBefore, BETA);
    const likedShare = { base, sft, dpo };
    return { example: 'dpo', seed, likedShare, before, after, steps, answersSft, answersDpo, path };
  } finally {
    await client.dispose();
  }
}
