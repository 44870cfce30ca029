/** Our engine on the peers' workload: losses checked first, then timed in turns with the peers. */
import { loadBaseModel, TrainingSession } from '../src/engine/index.ts';
import { packExamples } from '../src/engine/train/batcher.ts';
import type { Context } from './context.ts';
import { loraSettings } from './model.ts';
import type { PeerWorkload } from './peer-data.ts';
import { timed } from './timing.ts';

/** Losses may differ from PyTorch's by this much, relatively, before a timing counts. */
const LOSS_TOLERANCE = 1e-3;

export interface OurRun {
  /** Relative differences of the first losses from PyTorch's. */
  lossDifferences: number[];
  /** Most GPU bytes at once, from loading on. */
  peakBytes: number;
  /** Milliseconds of steps. */
  time(steps: number): Promise<number[]>;
  dispose(): void;
}

/** Loads the workload, takes the checked steps, and stays ready to be timed. */
export async function startOurs(context: Context, workload: PeerWorkload, tokens: number): Promise<OurRun> {
  const { manifest, config, tensors, adapter } = workload;
  const { buffers } = context;
  const before = buffers.bytes;
  buffers.restart();
  const model = await loadBaseModel(context.device, { config, tensors });
  const session = await TrainingSession.create(model, {
    settings: { ...loraSettings(config), rank: manifest.r, alpha: manifest.alpha },
    start: { tensors: adapter },
    maxTokens: tokens,
    evaluate: false,
  });
  const inputIds = manifest.tokens.slice(0, tokens + 1);
  const packed = packExamples([{ inputIds, labels: inputIds }], 1 / tokens);
  // As torch.optim.AdamW has it.
  const adam = { learningRate: manifest.lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: manifest.wd };
  let step = 0;
  const takeStep = async (): Promise<number> => {
    step += 1;
    const logprobs = session.forwardBackward(packed, { seed: 0, step, micro: 0 });
    const norm = session.optimStep(step, { ...adam, gradClip: 0 });
    const loss = -(await logprobs).reduce((sum, value) => sum + value, 0) / tokens;
    await norm;
    return loss;
  };
  const lossDifferences: number[] = [];
  for (const reference of manifest.ref_losses[String(tokens)] ?? [])
    lossDifferences.push(Math.abs((await takeStep()) - reference) / reference);
  const dispose = (): void => {
    session.dispose();
    model.dispose();
  };
  if (lossDifferences.length === 0 || !lossDifferences.every((difference) => difference <= LOSS_TOLERANCE)) {
    dispose();
    throw new Error(`Our losses differ from PyTorch's by ${lossDifferences.join(', ')}.`);
  }
  return {
    lossDifferences,
    peakBytes: buffers.peak - before,
    time: async (steps) => {
      const samples: number[] = [];
      for (let i = 0; i < steps; i++) samples.push(await timed(takeStep));
      return samples;
    },
    dispose,
  };
}
