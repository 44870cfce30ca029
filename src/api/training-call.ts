/** A checked call of forward or forwardBackward: all that backends see. What is wrong is refused here, before any turn. */
import { BadRequestError } from './errors.ts';
import {
  checkLossConfig,
  checkLossFn,
  INPUT_DTYPES,
  LOSS_RULES,
  lossInputKey,
  type LossInputKey,
} from './loss-inputs.ts';
import { checkTokens, ModelInput } from './model-input.ts';
import { toDense, type DenseTensor } from './tensor.ts';
import type { Chunk, Datum, LossFnType } from './types.ts';

export interface PreparedDatum {
  readonly chunks: readonly Chunk[];
  /** Input positions; null where only the server knows (images). */
  readonly length: number | null;
  /** Each [length], or [length, K] for cross_entropy with K targets at a position. */
  readonly inputs: Readonly<Partial<Record<LossInputKey, DenseTensor>>> & {
    readonly targetTokens: DenseTensor;
  };
}

export interface TrainingCall {
  readonly data: readonly PreparedDatum[];
  readonly lossFn: LossFnType;
  /** In camelCase, defaults filled in. */
  readonly lossFnConfig: Readonly<Record<string, number>>;
  /** `trained` may leave out the log-probabilities of targets that move no loss (NaN stands there); default all. */
  readonly outputs?: 'all' | 'trained';
}

function prepareDatum(datum: Datum, lossFn: LossFnType, index: number): PreparedDatum {
  const at = `Datum ${String(index)}`;
  const chunks = (datum as Partial<Datum> | null)?.modelInput?.chunks;
  if (!Array.isArray(chunks)) throw new BadRequestError({ message: `${at} has no modelInput with chunks.` });
  for (const chunk of chunks as readonly Chunk[]) {
    if (chunk.type === 'encoded_text') checkTokens(chunk.tokens, `${at}: modelInput`);
  }
  // A copy: what the caller changes after the call is not trained on.
  const input: ModelInput = {
    chunks: (chunks as readonly Chunk[]).map((chunk) =>
      chunk.type === 'encoded_text' ? { ...chunk, tokens: [...chunk.tokens] } : { ...chunk },
    ),
  };
  const length = ModelInput.length(input);
  if (length === 0) throw new BadRequestError({ message: `${at} has no input tokens.` });
  const inputs: Partial<Record<LossInputKey, DenseTensor>> = {};
  for (const [given, value] of Object.entries(datum.lossFnInputs ?? {})) {
    const key = lossInputKey(given, lossFn);
    if (key === null) {
      const { required, optional } = LOSS_RULES[lossFn];
      throw new BadRequestError({
        message: `${at}: the loss ${lossFn} takes no ${JSON.stringify(given)}.`,
        fix: `It takes ${[...required, ...optional].join(', ')}.`,
      });
    }
    inputs[key] = toDense(value, INPUT_DTYPES[key], `${at}: ${key}`);
  }
  const { targetTokens } = inputs;
  for (const key of LOSS_RULES[lossFn].required) {
    if (inputs[key] === undefined)
      throw new BadRequestError({ message: `${at}: the loss ${lossFn} needs ${key}.` });
  }
  if (targetTokens === undefined) throw new BadRequestError({ message: `${at} has no targetTokens.` });
  if (targetTokens.shape.length > 2 || (targetTokens.shape.length === 2 && lossFn !== 'cross_entropy')) {
    throw new BadRequestError({
      message: `${at}: targetTokens has the shape [${targetTokens.shape.join(', ')}]; ${lossFn} takes one target for each position.`,
    });
  }
  const positions = length ?? targetTokens.shape[0];
  for (const [key, tensor] of Object.entries(inputs)) {
    if (tensor.shape[0] !== positions) {
      throw new BadRequestError({
        message: `${at}: ${key} has ${String(tensor.shape[0])} positions, the input has ${String(positions)}.`,
        fix: 'Give each input one value for each token of modelInput; the targets are the tokens shifted by one.',
      });
    }
    if (tensor.shape.join() !== targetTokens.shape.join()) {
      throw new BadRequestError({
        message: `${at}: ${key} has the shape [${tensor.shape.join(', ')}], targetTokens [${targetTokens.shape.join(', ')}].`,
      });
    }
  }
  if (lossFn === 'cross_entropy' && inputs.weights === undefined) {
    // Servers differ in what an absent weight means, so it is always said.
    inputs.weights = {
      dtype: 'float32',
      shape: targetTokens.shape,
      data: new Float32Array(targetTokens.data.length).fill(1),
    };
  }
  return { chunks: input.chunks, length, inputs: { ...inputs, targetTokens } };
}

/**
 * Checks data and loss. Throws BadRequestError, naming the datum and the value, for an empty batch, unknown losses and
 * keys, lengths that do not match, token ids out of range, and numbers that are not finite.
 */
export function prepareTrainingCall(
  data: readonly Datum[],
  lossFn: LossFnType,
  lossFnConfig?: Readonly<Record<string, number>> | null,
  outputs: TrainingCall['outputs'] = 'all',
): TrainingCall {
  checkLossFn(lossFn);
  if (!Array.isArray(data) || data.length === 0) {
    throw new BadRequestError({ message: 'The batch is empty.', fix: 'Give at least one datum.' });
  }
  const config = checkLossConfig(lossFn, lossFnConfig);
  return {
    data: data.map((datum, i) => prepareDatum(datum as Datum, lossFn, i)),
    lossFn,
    lossFnConfig: config,
    outputs,
  };
}
