/** A checked call of the interface as the engine's data and loss, and the engine's result as the interface's output. */
import type { PreparedDatum, TrainingCall } from '../api/training-call.ts';
import type { ForwardBackwardOutput } from '../api/types.ts';
import { BadRequestError } from '../api/errors.ts';
import { lossFrom, type Loss, type LossDatum, type LossResult } from '../engine/index.ts';

/** Throws BadRequestError for chunks that are no text. */
export function toLossDatum({ chunks, inputs }: PreparedDatum): LossDatum {
  const inputIds = chunks.flatMap((chunk) => {
    if (chunk.type === 'encoded_text') return chunk.tokens;
    throw new BadRequestError({
      message: `The model takes text alone, and a datum has a chunk of the type ${chunk.type}.`,
      fix: 'Give the tokens as encoded_text.',
    });
  });
  const { targetTokens, weights, logprobs, advantages, clipLowThreshold, clipHighThreshold } = inputs;
  return {
    inputIds,
    targetTokens: targetTokens.data,
    ...(weights === undefined ? {} : { weights: weights.data }),
    ...(logprobs === undefined ? {} : { logprobs: logprobs.data }),
    ...(advantages === undefined ? {} : { advantages: advantages.data }),
    ...(clipLowThreshold === undefined ? {} : { clipLowThreshold: clipLowThreshold.data }),
    ...(clipHighThreshold === undefined ? {} : { clipHighThreshold: clipHighThreshold.data }),
  };
}

export const lossOf = ({ lossFn, lossFnConfig }: TrainingCall): Loss => lossFrom(lossFn, lossFnConfig);

export const longestOf = (data: readonly LossDatum[]): number =>
  data.reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0);

/** logprobs: each the shape of its targets. */
export function outputOf(call: TrainingCall, { loss, logprobs }: LossResult): ForwardBackwardOutput {
  return {
    lossFnOutputType: 'ArrayRecord',
    lossFnOutputs: call.data.map(({ inputs }, i) => ({
      logprobs: {
        data: logprobs[i] ?? new Float32Array(0),
        dtype: 'float32',
        shape: [...inputs.targetTokens.shape],
      },
    })),
    metrics: { 'loss:sum': loss },
  };
}
