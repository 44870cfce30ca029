/** Figures that follow from a model's size: a learning rate to start from, and how many numbers an adapter holds. Pure. */
import { BadRequestError } from '../api/errors.ts';

/** How fast the best rate falls with the width, by family. */
const WIDTH_EXPONENTS = { qwen: 0.0775, llama: 0.781 } as const;
export type LrFamily = keyof typeof WIDTH_EXPONENTS;

const FULL_TUNING_LR = 5e-5;
const LORA_FACTOR = 10;

/** A learning rate to begin with for LoRA: 5e-5 · 10 · (2000 / hiddenSize)^p. Throws BadRequestError for no size. */
export function getLr(hiddenSize: number, family: LrFamily): number {
  if (!Number.isFinite(hiddenSize) || hiddenSize < 1 || !Object.hasOwn(WIDTH_EXPONENTS, family)) {
    throw new BadRequestError({
      message: `There is no rate for hiddenSize ${String(hiddenSize)} and the family ${JSON.stringify(family)}.`,
      fix: `Give the model's hidden_size and one of ${Object.keys(WIDTH_EXPONENTS).join(', ')}.`,
    });
  }
  return FULL_TUNING_LR * LORA_FACTOR * (2000 / hiddenSize) ** WIDTH_EXPONENTS[family];
}

/** The shape of a decoder with grouped-query attention and a gated MLP. */
export interface ModelShape {
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  vocabSize: number;
}

export interface AdapterExtent {
  rank: number;
  trainAttn?: boolean;
  trainMlp?: boolean;
  /** The output layer. */
  trainUnembed?: boolean;
}

/** How many numbers an adapter trains: rank · (in + out) for each layer that it adapts. */
export function getLoraParamCount(shape: ModelShape, extent: AdapterExtent): number {
  const { hiddenSize: hidden, intermediateSize: inner, numLayers, vocabSize } = shape;
  const { rank, trainAttn = true, trainMlp = true, trainUnembed = true } = extent;
  const queries = shape.numHeads * shape.headDim;
  const keys = shape.numKvHeads * shape.headDim;
  // q, o; k, v
  const attention = 2 * (hidden + queries) + 2 * (hidden + keys);
  // gate, up, down
  const mlp = 3 * (hidden + inner);
  const layer = (trainAttn ? attention : 0) + (trainMlp ? mlp : 0);
  return rank * (numLayers * layer + (trainUnembed ? hidden + vocabSize : 0));
}
