/** Token rows as datums: inputs without the last token, targets shifted by one, weights on what is trained. Pure. */
import { BadRequestError } from '../api/errors.ts';
import { ModelInput } from '../api/model-input.ts';
import type { Datum } from '../api/types.ts';

export interface SupervisedExample {
  modelInput: ModelInput;
  /** One for each token: how much predicting it counts. */
  weights: Float32Array;
}

/** The datum of a row with a weight for each token. Throws BadRequestError where the two do not fit. */
export function supervisedDatum({ modelInput, weights }: SupervisedExample): Datum {
  const tokens = ModelInput.toInts(modelInput);
  if (tokens.length < 2 || weights.length !== tokens.length) {
    throw new BadRequestError({
      message: `A row has ${String(tokens.length)} tokens and ${String(weights.length)} weights; it needs two tokens or more, and a weight for each.`,
    });
  }
  return {
    modelInput: ModelInput.fromInts(tokens.slice(0, -1)),
    lossFnInputs: { targetTokens: tokens.slice(1), weights: weights.slice(1) },
  };
}

/** The datum of a prompt and its completion, of which the completion is trained. */
export function completionDatum(prompt: readonly number[], completion: readonly number[]): Datum {
  if (prompt.length === 0 || completion.length === 0) {
    throw new BadRequestError({ message: 'A prompt or a completion has no tokens.' });
  }
  const tokens = [...prompt, ...completion];
  const weights = Float32Array.from(tokens, (_, i) => (i < prompt.length ? 0 : 1));
  return supervisedDatum({ modelInput: ModelInput.fromInts(tokens), weights });
}
