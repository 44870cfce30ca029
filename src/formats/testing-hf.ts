/** HuggingFace Trainer checkpoints in memory, and ways to change them, for the tests of this folder. */
import type { Adapter } from './adapter.ts';
import { memoryFileSet } from './file-set.ts';
import { optimizerDict } from './hf-optimizer.ts';
import { hfTrainerEntries, readHfTrainer, type HfTrainerExport, type HfTrainerRead } from './hf-trainer.ts';
import type { Chunk } from './streams.ts';
import { llamaPaths, testAdapter } from './testing-adapter.ts';
import { testMoments } from './testing-state.ts';
import { codeOf, collect } from './testing.ts';
import { torchFileEntry } from './torch-file.ts';
import type { TorchDict, TorchValue } from './torch-values.ts';

export const adapter = testAdapter({}, llamaPaths(2));
export const utf8 = (text: string): Chunk => new TextEncoder().encode(text);

/** A state at step 10 of 20. */
export function exported(changes: Partial<HfTrainerExport> = {}, of: Adapter = adapter): HfTrainerExport {
  return {
    adapter: of,
    moments: testMoments(of),
    step: 10,
    optimizerStep: 10,
    maxSteps: 20,
    epoch: 0.5,
    epochs: 1,
    batchSize: 2,
    tokens: 1000,
    adamw: { betas: [0.9, 0.95], eps: 1e-12, weightDecay: 0.01 },
    peakLearningRate: 1e-3,
    learningRate: 5e-4,
    log: [
      { step: 9, loss: 1.5, learning_rate: 6e-4, epoch: 0.45 },
      { step: 10, loss: 1.25, learning_rate: 5.5e-4, epoch: 0.5 },
    ],
    bestMetric: 0.5,
    bestStep: null,
    ...changes,
  };
}

type Files = Map<string, Chunk>;

/** Its files. */
export async function filesOf(state: HfTrainerExport = exported()): Promise<Files> {
  const files: Files = new Map();
  for (const entry of hfTrainerEntries(state)) files.set(entry.path, await collect(entry.chunks()));
  return files;
}

/** Reads a folder of these files. */
export const read = (
  files: Files,
  of: Adapter = adapter,
  options?: Parameters<typeof readHfTrainer>[2],
): Promise<HfTrainerRead> => readHfTrainer(memoryFileSet('checkpoint-10', files), of, options);

/** The code of reading after files were replaced, added, or taken away (null). */
export async function codeWith(changes: Record<string, Chunk | string | null>): Promise<string> {
  const files = await filesOf();
  for (const [name, content] of Object.entries(changes)) {
    if (content === null) files.delete(name);
    else files.set(name, typeof content === 'string' ? utf8(content) : content);
  }
  return codeOf(() => read(files));
}

/** A file of torch.save. */
export const pt = (name: string, value: TorchValue): Promise<Chunk> =>
  collect(torchFileEntry(name, value).chunks());

/** The dict of optimizer.pt. */
export function rootDict(): TorchDict {
  const { moments, adamw, learningRate, peakLearningRate, optimizerStep: step } = exported();
  return optimizerDict({ step, adamw, learningRate, peakLearningRate, moments });
}

export const member = (from: TorchValue | undefined, key: string | bigint): TorchDict => {
  const value = from instanceof Map ? from.get(key) : Array.isArray(from) ? from[Number(key)] : undefined;
  if (value instanceof Map) return value;
  throw new Error(`no dict at ${String(key)}`);
};

/** The code of reading optimizer.pt after a change to its dict. */
export async function codeAfter(change: (root: TorchDict) => void): Promise<string> {
  const root = rootDict();
  change(root);
  return codeWith({ 'optimizer.pt': await pt('optimizer.pt', root) });
}
export const stateOf = (root: TorchDict, id: bigint): TorchDict => member(root.get('state'), id);
export const groupOf = (root: TorchDict, index: number): TorchDict =>
  member(root.get('param_groups'), BigInt(index));
