/** The whole training step: forward, backward, optimizer, loss read back, against the best product of the same minutes. */
import { DEFAULT_FINETUNE, TrainingSession, type BaseModel } from '../src/engine/index.ts';
import { packExamples, type PackedBatch } from '../src/engine/train/batcher.ts';
import type { Context } from './context.ts';
import { countDispatches } from './dispatch-count.ts';
import { stepFlops } from './flops.ts';
import { loadRandom, loraSettings, smolConfig } from './model.ts';
import { probeSubject } from './probe.ts';
import { ProductBench } from './product.ts';
import { randomBits } from './random.ts';
import { fixed, percent, table } from './table.ts';
import { shareOf, takeTurns, type Share, type Subject } from './timing.ts';

const LAYERS = 4;

interface StepResult {
  vocabulary: number;
  tokens: number;
  milliseconds: { best: number; median: number };
  tokensPerSecond: number;
  bestRate: number;
  medianRate: number;
  /** GFLOP/s of the best product, forward or backward, of the same rounds. */
  gemmRate: number;
  ofGemm: Share;
  ofProbe: Share;
  dispatches: number;
  /** Buffers made during steps after the first. */
  buffersMade: number;
}

/** A sequence of random tokens, all but the first of them targets. */
export function randomBatch(vocabulary: number, tokens: number): PackedBatch {
  const next = randomBits(7);
  const inputIds = Array.from({ length: tokens + 1 }, () => next() % vocabulary);
  return packExamples([{ inputIds, labels: inputIds }], 1 / tokens);
}

/** A training step on a session as a subject. */
export function stepSubject(session: TrainingSession, packed: PackedBatch, flops: number): Subject {
  let step = 0;
  return {
    name: 'training step',
    flops,
    run: async (repeats) => {
      for (let i = 0; i < repeats; i++) {
        step += 1;
        const logprobs = session.forwardBackward(packed, { seed: 0, step, micro: 0 });
        const norm = session.optimStep(step, DEFAULT_FINETUNE);
        if (!Number.isFinite((await logprobs)[0]) || !Number.isFinite(await norm))
          throw new Error('The step gave no finite numbers.');
      }
    },
  };
}

async function timeStep(context: Context, model: BaseModel, tokens: number): Promise<StepResult> {
  const { device, buffers, quick } = context;
  const { config, tuning } = model;
  const session = await TrainingSession.create(model, {
    settings: loraSettings(config),
    start: { seed: 0 },
    maxTokens: tokens,
    evaluate: false,
  });
  const adapter = session.state.layout.parameters;
  const step = stepSubject(
    session,
    randomBatch(config.vocabSize, tokens),
    stepFlops(config, { tokens, trained: tokens, adapter }),
  );
  await step.run(1);
  const dispatches = await countDispatches(device, () => step.run(1));
  const products = new ProductBench(device, model.kernels);
  const shape = { tokens, in: config.hiddenSize, out: config.intermediateSize, dtype: 'BF16' } as const;
  const subjects = [
    await probeSubject(device),
    await products.subject(shape, 'forward', tuning.forward),
    await products.subject(shape, 'backward', tuning.backward),
  ];
  const before = buffers.created;
  const timings = await takeTurns([...subjects, step], quick ? 3 : 7, context.cpuClock);
  const buffersMade = buffers.created - before;
  const [probe, forward, backward, timing] = timings;
  if (!probe || !forward || !backward || !timing) throw new Error('The step was not timed.');
  const gemm = forward.bestRate > backward.bestRate ? forward : backward;
  products.dispose();
  session.dispose();
  return {
    vocabulary: config.vocabSize,
    tokens,
    milliseconds: { best: timing.best, median: timing.median },
    tokensPerSecond: (tokens / timing.median) * 1000,
    bestRate: timing.bestRate,
    medianRate: timing.medianRate,
    gemmRate: gemm.bestRate,
    ofGemm: shareOf(timing, gemm),
    ofProbe: shareOf(timing, probe),
    dispatches,
    buffersMade,
  };
}

/** Times steps of SmolLM2's shape with 4 layers, rank 8 on all linear layers. */
export async function stepPart(context: Context): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const vocabulary of context.quick ? [4096] : [49152, 4096]) {
    const model = await loadRandom(context.device, smolConfig(LAYERS, vocabulary));
    for (const tokens of context.quick ? [128] : [128, 256])
      results.push(await timeStep(context, model, tokens));
    model.dispose();
  }
  const rows = results.map((result) => [
    `${LAYERS} layers, vocabulary ${result.vocabulary}, ${result.tokens} tokens`,
    `${fixed(result.milliseconds.best)} (${fixed(result.milliseconds.median)})`,
    fixed(result.tokensPerSecond, 0),
    `${fixed(result.bestRate)} (${fixed(result.medianRate)})`,
    shares(result.ofProbe),
    shares(result.ofGemm),
    String(result.dispatches),
    String(result.buffersMade),
  ]);
  const header = [
    'step: best (median)',
    'ms',
    'tokens/s',
    'GFLOP/s',
    'of probe, by CPU time',
    'of best GEMM, by CPU time',
  ];
  context.print(table([...header, 'dispatches', 'buffers made'], rows));
  return results;
}

function shares({ best, median, cpu }: Share): string {
  return `${percent(best)} (${percent(median)}), ${percent(cpu)}`;
}
