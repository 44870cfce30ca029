/**
 * The whole engine on one case of tools/parity_goldens.py: how far its numbers are from those of transformers + PEFT.
 * No test runner and no host in here, so that the same code runs in Node and in Chromium.
 */
import { bytesSource } from '../../formats/bytes.ts';
import { decodeFloats, isFloatDtype } from '../../formats/float-codec.ts';
import { memoryFileSet } from '../../formats/file-set.ts';
import { readPeftFolder } from '../../formats/import-layout.ts';
import { openSafetensors } from '../../formats/safetensors-read.ts';
import type { TensorSource } from '../../formats/tensors.ts';
import type { Choice } from '../generate/choose.ts';
import { Generator } from '../generate/generator.ts';
import { loadBaseModel } from '../model/base-model.ts';
import { parseModelConfig } from '../model/config.ts';
import { packExamples } from '../train/batcher.ts';
import { TrainingSession } from '../train/session.ts';
import { DEFAULT_GENERATE } from '../train/types.ts';
import { relativeL2 } from './distance.ts';

export interface Golden {
  sequences: { inputIds: number[]; labels: number[] }[];
  trainedTokens: number;
  loss: number;
  optimizer: { lr: number; beta1: number; beta2: number; eps: number; weightDecay: number; gradClip: number };
  losses: number[];
  gradNorms: number[];
  greedy: { prompt: number[]; tokens: number[] };
}

/** Files of a case by their path in its folder. */
export const PARITY_FILES = [
  'config.json',
  'model.safetensors',
  'adapter/adapter_config.json',
  'adapter/adapter_model.safetensors',
  'golden.json',
  'golden.safetensors',
] as const;

export type ParityFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** The largest distances found. */
export interface ParityFigures {
  logitsMaxAbs: number;
  lossRelative: number;
  gradientRelativeL2: number;
  lossesRelative: number;
  gradNormsRelative: number;
  afterRelativeL2: number;
  greedyEqual: boolean;
  /** Answers drawn side by side are those drawn one by one, to the bit. */
  severalEqual: boolean;
  /** GPU bytes still live at the end. */
  leakedBytes: number;
}

const relative = (got: number, want: number): number => Math.abs(got - want) / Math.abs(want);

function bytesOf(files: ParityFiles, path: string): Uint8Array<ArrayBuffer> {
  const bytes = files.get(path);
  if (!bytes) throw new Error(`The case has no ${path}.`);
  return bytes;
}

function jsonOf(files: ParityFiles, path: string): unknown {
  return JSON.parse(new TextDecoder().decode(bytesOf(files, path)));
}

async function floats(tensors: TensorSource, name: string): Promise<Float32Array> {
  const info = tensors.get(name);
  if (!info || !isFloatDtype(info.dtype)) throw new Error(`No tensor ${name}.`);
  return decodeFloats(info.dtype, await tensors.read(name));
}

/** Loads, generates, trains ten steps, frees everything, and says how far off it was. */
export async function measureParity(device: GPUDevice, files: ParityFiles): Promise<ParityFigures> {
  const open = (path: string): Promise<TensorSource> =>
    openSafetensors(bytesSource(path, bytesOf(files, path)));
  const golden = jsonOf(files, 'golden.json') as Golden;
  const want = await open('golden.safetensors');
  const folder = new Map(
    [...files].flatMap(([path, bytes]) =>
      path.startsWith('adapter/') ? [[path.slice(8), bytes] as const] : [],
    ),
  );
  const { adapter } = await readPeftFolder(memoryFileSet('adapter', folder));
  const config = parseModelConfig(jsonOf(files, 'config.json'));
  const base = await loadBaseModel(device, { config, tensors: await open('model.safetensors') });
  const start = { tensors: adapter.tensors };
  const session = await TrainingSession.create(base, {
    settings: adapter.settings,
    start,
    maxTokens: 64,
    evaluate: true,
  });
  const figures: ParityFigures = {
    ...(await measureGeneration(session, golden, await floats(want, 'logits'))),
    ...(await measureTraining(session, golden, want)),
    leakedBytes: 0,
  };
  session.dispose();
  base.dispose();
  return { ...figures, leakedBytes: base.pool.bytes };
}

type GenerationFigure = 'logitsMaxAbs' | 'greedyEqual' | 'severalEqual';

/** Logits position by position through the key/value cache, and the greedy answer. */
async function measureGeneration(
  session: TrainingSession,
  golden: Golden,
  wantLogits: Float32Array,
): Promise<Pick<ParityFigures, GenerationFigure>> {
  const { vocabSize } = session.model.config;
  const generator = await Generator.create(session.model, session.state, 64, 4);
  let logitsMaxAbs = 0;
  let row = 0;
  for (const { inputIds } of golden.sequences) {
    for (let end = 1; end <= inputIds.length; end++, row++) {
      const got = await generator.logits(inputIds.slice(0, end));
      got.forEach((value, i) => {
        const distance = Math.abs(value - (wantLogits[row * vocabSize + i] ?? NaN));
        if (!(distance <= logitsMaxAbs)) logitsMaxAbs = distance;
      });
    }
  }
  const answer: number[] = [];
  const options = { ...DEFAULT_GENERATE, maxTokens: golden.greedy.tokens.length };
  for await (const { id } of generator.generate(golden.greedy.prompt, options)) answer.push(id);
  const severalEqual = await compareSeveral(generator, golden.greedy.prompt);
  generator.dispose();
  return { logitsMaxAbs, greedyEqual: answer.join() === golden.greedy.tokens.join(), severalEqual };
}

/** Warm answers to two prompts, four at a time, which end after 1 to 9 tokens; and each of them alone. */
async function compareSeveral(generator: Generator, prompt: readonly number[]): Promise<boolean> {
  const options = { ...DEFAULT_GENERATE, temperature: 1.5, maxTokens: 9 };
  const promptOf = (seed: number): readonly number[] => (seed < 3 ? prompt : prompt.slice(1));
  const lengths = [9, 1, 4, 9, 6];
  const several: Choice[][] = lengths.map(() => []);
  const draws = several.map((answer, i) => ({
    prompt: promptOf(i),
    options: { ...options, seed: i },
    wanted: (choice: Choice) => answer.push(choice) < (lengths[i] ?? 0),
  }));
  await generator.generateSeveral(draws, { adapterScale: 1 });
  const alone: Choice[][] = [];
  for (const [seed, length] of lengths.entries()) {
    const answer: Choice[] = [];
    for await (const choice of generator.generate(promptOf(seed), { ...options, seed }))
      if (answer.push(choice) >= length) break;
    alone.push(answer);
  }
  return JSON.stringify(several) === JSON.stringify(alone);
}

type TrainingFigures = Omit<ParityFigures, GenerationFigure | 'leakedBytes'>;

/** Loss, gradients and ten AdamW steps on the sequences, packed; the goldens were computed one sequence at a time. */
async function measureTraining(
  session: TrainingSession,
  golden: Golden,
  want: TensorSource,
): Promise<TrainingFigures> {
  const { trainedTokens, optimizer } = golden;
  const packed = packExamples(golden.sequences, 1 / trainedTokens);
  const lossOf = (logprobs: Float32Array): number =>
    -logprobs.reduce((sum, value) => sum + value, 0) / trainedTokens;
  const worst: TrainingFigures = {
    lossRelative: relative(lossOf(await session.evaluate(packed)), golden.loss),
    gradientRelativeL2: 0,
    lossesRelative: 0,
    gradNormsRelative: 0,
    afterRelativeL2: 0,
  };
  const note = (figure: keyof TrainingFigures, distance: number): void => {
    if (!(distance <= worst[figure])) worst[figure] = distance;
  };
  for (const [index, wantLoss] of golden.losses.entries()) {
    const step = index + 1;
    const loss = lossOf(await session.forwardBackward(packed, { seed: 0, step, micro: 0 }));
    note('lossesRelative', relative(loss, wantLoss));
    if (step === 1) {
      for (const { name, data } of await session.state.tensors('grads')) {
        note('gradientRelativeL2', relativeL2(data, await floats(want, `grad.${name}`)));
      }
    }
    const norm = await session.optimStep(step, { ...optimizer, learningRate: optimizer.lr });
    note('gradNormsRelative', relative(norm, golden.gradNorms[index] ?? NaN));
  }
  for (const { name, data } of await session.state.tensors()) {
    note('afterRelativeL2', relativeL2(data, await floats(want, `after.${name}`)));
  }
  return worst;
}
