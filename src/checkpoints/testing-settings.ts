/** The settings that the tests of this folder train with; known to no host. */
import { DEFAULT_FINETUNE, type FinetuneConfig } from '../engine/index.ts';

/** Dropout, shuffling, accumulation, warm-up and cosine: everything that a resumed run could lose. */
export const HARD_TRAINING: FinetuneConfig = {
  ...DEFAULT_FINETUNE,
  batchSize: 2,
  gradAccumulation: 2,
  learningRate: 3e-3,
  schedule: 'cosine',
  warmupSteps: 2,
  weightDecay: 0.01,
  gradClip: 1,
  seed: 11,
};
