/** Decoding: tokens per second of the prompt, of one answer, and of several answers that are drawn side by side. */
import {
  DEFAULT_GENERATE,
  Generator,
  loadBaseModel,
  parseModelConfig,
  type BaseModel,
} from '../src/engine/index.ts';
import { readModelFolder } from '../src/formats/model-folder.ts';
import type { Context } from './context.ts';
import { openFolder, projectPath } from './host.ts';
import { loadRandom, smolConfig } from './model.ts';
import { randomBits } from './random.ts';
import { fixed, table } from './table.ts';
import { median, timed } from './timing.ts';

const PROMPT = 128;
const ANSWER = 32;
const SEVERAL = 8;

interface GenerateResult {
  model: string;
  prefillPerSecond: number;
  decodePerSecond: number;
  /** Of all answers together. */
  severalPerSecond: number;
}

async function timeModel(name: string, model: BaseModel, rounds: number): Promise<GenerateResult> {
  const generator = await Generator.create(model, null, PROMPT + ANSWER, SEVERAL);
  const next = randomBits(3);
  const prompt = Array.from({ length: PROMPT }, () => next() % model.config.vocabSize);
  const prefill: number[] = [];
  const decode: number[] = [];
  const several: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const first = await timed(() => generator.logits(prompt));
    const answer = generator.generate(prompt, { ...DEFAULT_GENERATE, maxTokens: ANSWER });
    // The first token comes with the prompt.
    await answer.next();
    let tokens = 0;
    const rest = await timed(async () => {
      while (!(await answer.next()).done) tokens += 1;
    });
    let drawn = 0;
    let prefilled = 0;
    const draws = Array.from({ length: SEVERAL }, (_, seed) => ({
      prompt,
      options: { ...DEFAULT_GENERATE, maxTokens: ANSWER, temperature: 1, seed },
      wanted: () => {
        // The first token of each comes with the prompt.
        if (drawn++ === 0) prefilled = performance.now();
        return true;
      },
    }));
    await generator.generateSeveral(draws, { adapterScale: 1 });
    const together = performance.now() - prefilled;
    // The first round compiles on some drivers.
    if (round === 0) continue;
    prefill.push((PROMPT / first) * 1000);
    decode.push((tokens / rest) * 1000);
    several.push(((drawn - SEVERAL) / together) * 1000);
  }
  generator.dispose();
  model.dispose();
  return {
    model: name,
    prefillPerSecond: median(prefill),
    decodePerSecond: median(decode),
    severalPerSecond: median(several),
  };
}

/** Times a model of SmolLM2's shape with 4 layers, and the embedded one. */
export async function generatePart({ device, quick, print }: Context): Promise<GenerateResult[]> {
  const rounds = quick ? 1 : 5;
  const folder = await readModelFolder(await openFolder(projectPath('public/models/lorikeet-tiny')));
  const embedded = await loadBaseModel(device, {
    config: parseModelConfig(folder.config),
    tensors: await folder.openWeights(),
  });
  const results = [await timeModel('the embedded model', embedded, rounds)];
  results.push(await timeModel('SmolLM2 shape, 4 layers', await loadRandom(device, smolConfig(4)), rounds));
  const rows = results.map(({ model, prefillPerSecond, decodePerSecond, severalPerSecond }) => [
    model,
    fixed(prefillPerSecond, 0),
    fixed(decodePerSecond),
    fixed(severalPerSecond),
  ]);
  print(table([`tokens/s, prompt of ${PROMPT}`, 'prompt', 'one answer', `${SEVERAL} answers`], rows));
  return results;
}
