/** GPU bytes that training SmolLM2-135M takes, by kind, against what it needs at the least. */
import { loadBaseModel, parseModelConfig, TrainingSession, type BaseModel } from '../src/engine/index.ts';
import { readModelFolder } from '../src/formats/model-folder.ts';
import type { Context } from './context.ts';
import { minimalActivationBytes } from './flops.ts';
import { openFolder } from './host.ts';
import { loadRandom, loraSettings, smolConfig } from './model.ts';
import { randomBatch, stepSubject } from './step.ts';
import { fixed, megabytes, table } from './table.ts';

const TOKENS = 256;
/** What all GPU bytes together may be of the least. */
const ALLOWED = 1.25;

async function openModel({ device, model }: Context): Promise<BaseModel> {
  if (model === null) return loadRandom(device, smolConfig());
  const folder = await readModelFolder(await openFolder(model));
  return loadBaseModel(device, {
    config: parseModelConfig(folder.config),
    tensors: await folder.openWeights(),
  });
}

/** Loads the model, makes a session for 256 tokens at rank 8, takes a step, and counts. */
export async function memoryPart(context: Context): Promise<unknown> {
  const { buffers, print } = context;
  const before = buffers.bytes;
  buffers.restart();
  const model = await openModel(context);
  const { config } = model;
  const settings = loraSettings(config);
  const session = await TrainingSession.create(model, {
    settings,
    start: { seed: 0 },
    maxTokens: TOKENS,
    evaluate: false,
  });
  await stepSubject(session, randomBatch(config.vocabSize, TOKENS), 0).run(1);
  const kinds = model.pool.byKind();
  const measured = { live: buffers.bytes - before, peak: buffers.peak - before };
  const adapter = session.state.layout.parameters;
  const least = {
    weights: model.weights.parameters * 2,
    adapter: adapter * 4 * 4,
    activations: minimalActivationBytes(config, TOKENS),
  };
  session.dispose();
  model.dispose();
  const leastTotal = least.weights + least.adapter + least.activations;
  const ratio = measured.peak / leastTotal;
  const activations = Object.entries(kinds).filter(([kind]) => kind !== 'weights' && kind !== 'adapter');
  const activationBytes = activations.reduce((sum, [, bytes]) => sum + bytes, 0);
  const row = (name: string, bytes: number, needed: number): string[] => [
    name,
    megabytes(bytes),
    megabytes(needed),
    fixed(bytes / needed, 2),
  ];
  print(
    table(
      [`SmolLM2-135M, rank 8, ${TOKENS} tokens`, 'MB', 'least MB', 'ratio'],
      [
        row('weights', kinds['weights'] ?? 0, least.weights),
        row('adapter, gradients, moments', kinds['adapter'] ?? 0, least.adapter),
        row('activations and all else', activationBytes, least.activations),
        ...activations.map(([kind, bytes]) => [`  ${kind}`, megabytes(bytes), '', '']),
        row('all, by createBuffer', measured.live, leastTotal),
        row('most at once', measured.peak, leastTotal),
      ],
    ),
  );
  print(`${fixed(ratio, 3)} of the least; ${ratio <= ALLOWED ? 'within' : 'ABOVE'} the ${ALLOWED} allowed`);
  return { tokens: TOKENS, kinds, measured, least, ratio };
}
