/**
 * Losses of the caller's own. The engine computes log-probabilities, the caller a loss from them, and the gradient of
 * that goes back as a built-in loss with the same gradient: for cross_entropy, L = Σ −logp·w, so w = −∂C/∂logp does it.
 */
import { backward, isDiffArray, leaf, type DiffArray } from '../autodiff/index.ts';
import type { CustomLossParts } from './backend.ts';
import { BadRequestError } from './errors.ts';
import { APIResponseValidationError } from './errors.ts';
import { prepareTrainingCall, type TrainingCall } from './training-call.ts';
import type { Datum, ForwardBackwardOutput, LossInput } from './types.ts';

export interface CustomLossResult {
  loss: number;
  /** [datum][N]: ∂loss/∂logprobs. */
  gradLogprobs: readonly Float32Array[];
  metrics?: Record<string, number>;
}

export interface DiffLossResult {
  /** A scalar of src/autodiff, computed from the log-probabilities. */
  loss: DiffArray;
  metrics?: Record<string, number>;
}

/**
 * A loss over a batch. `logprobs` holds one array for each datum, [N]. Either the gradients are given, or the loss is
 * built with the functions of src/autodiff, to which these arrays are leaves.
 */
export type CustomLoss = (
  data: readonly Datum[],
  logprobs: Float32Array[],
) => CustomLossResult | DiffLossResult;

const ALLOWED: readonly string[] = ['targetTokens', 'target_tokens', 'weights'];

const lengthOf = (input: LossInput | undefined): number =>
  input === undefined ? 0 : 'data' in input ? input.data.length : input.length;

/** The call that gives the log-probabilities. Throws BadRequestError for inputs other than targetTokens and weights. */
export function prepareCustomCall(data: readonly Datum[]): TrainingCall {
  if (!Array.isArray(data)) return prepareTrainingCall(data, 'cross_entropy');
  const filled = (data as readonly Datum[]).map((datum, i) => {
    const inputs = datum.lossFnInputs ?? {};
    for (const key of Object.keys(inputs)) {
      if (ALLOWED.includes(key)) continue;
      throw new BadRequestError({
        message: `Datum ${String(i)}: a custom loss takes targetTokens and weights, not ${JSON.stringify(key)}.`,
        fix: 'Keep other values beside the data; the function sees them through its closure.',
      });
    }
    if (inputs['weights'] !== undefined) return datum;
    const targets = inputs['targetTokens'] ?? inputs['target_tokens'];
    return { ...datum, lossFnInputs: { ...inputs, weights: new Float32Array(lengthOf(targets)) } };
  });
  const call = prepareTrainingCall(filled, 'cross_entropy');
  call.data.forEach(({ inputs }, i) => {
    if (inputs.targetTokens.shape.length === 1) return;
    throw new BadRequestError({
      message: `Datum ${String(i)}: a custom loss takes one target for each position.`,
    });
  });
  return call;
}

/** The log-probabilities of a forward pass, [datum][N]. Throws APIResponseValidationError where they are missing. */
export function logprobsOf(output: ForwardBackwardOutput, call: TrainingCall): Float32Array[] {
  return call.data.map(({ inputs }, i) => {
    const tensor = output.lossFnOutputs[i]?.['logprobs'];
    if (tensor === undefined || tensor.data.length !== inputs.targetTokens.data.length) {
      throw new APIResponseValidationError({
        message: `The forward pass gave ${String(tensor?.data.length ?? 'no')} log-probabilities for datum ${String(i)}, which has ${String(inputs.targetTokens.data.length)} positions.`,
      });
    }
    return Float32Array.from(tensor.data, Number);
  });
}

export interface EvaluatedLoss {
  loss: number;
  gradLogprobs: Float32Array[];
  metrics: Record<string, number>;
}

/** Runs the caller's function. Throws BadRequestError where it gives no gradient, or one that is not finite. */
export function evaluateCustomLoss(
  lossFn: CustomLoss,
  data: readonly Datum[],
  logprobs: readonly Float32Array[],
): EvaluatedLoss {
  const leaves = logprobs.map((values) => leaf(Float32Array.from(values)));
  const result = lossFn(data, leaves) as Partial<CustomLossResult> | DiffLossResult | undefined;
  if (result === undefined || result === null || typeof result !== 'object') {
    throw new BadRequestError({ message: 'The custom loss returned nothing; it returns { loss, ... }.' });
  }
  const { loss } = result;
  let value: number;
  let gradients: readonly Float32Array[];
  if (isDiffArray(loss)) {
    value = loss.values[0] ?? NaN;
    gradients = backward(loss, leaves);
  } else if (typeof loss === 'number' && 'gradLogprobs' in result && Array.isArray(result.gradLogprobs)) {
    value = loss;
    gradients = result.gradLogprobs;
  } else {
    throw new BadRequestError({
      message: 'The custom loss gave no gradient.',
      fix: 'Return { loss, gradLogprobs }, or build the loss with the functions of lorikeet/autodiff.',
    });
  }
  if (!Number.isFinite(value)) throw new BadRequestError({ message: `The custom loss is ${String(value)}.` });
  const checked = logprobs.map((values, i) => {
    const gradient = gradients[i];
    if (gradient === undefined || gradient === null || gradient.length !== values.length) {
      throw new BadRequestError({
        message: `The custom loss gave ${String(gradient?.length ?? 'no')} gradients for datum ${String(i)}, which has ${String(values.length)} positions.`,
      });
    }
    const bad = gradient.findIndex((g) => !Number.isFinite(g));
    if (bad >= 0) {
      throw new BadRequestError({
        message: `The gradient of the custom loss is ${String(gradient[bad])} for datum ${String(i)} at position ${String(bad)}.`,
      });
    }
    return Float32Array.from(gradient);
  });
  return { loss: value, gradLogprobs: checked, metrics: result.metrics ?? {} };
}

/** The surrogate for backends whose cross_entropy is a sum: the same targets, weights −∂C/∂logp. */
export function crossEntropySurrogate({ call, gradLogprobs }: CustomLossParts): TrainingCall {
  return {
    ...call,
    data: call.data.map((datum, i) => ({
      ...datum,
      inputs: {
        targetTokens: datum.inputs.targetTokens,
        weights: {
          dtype: 'float32',
          shape: datum.inputs.targetTokens.shape,
          // 0 - g, so that no weight is -0.
          data: Float32Array.from(gradLogprobs[i] ?? [], (g) => 0 - g),
        },
      },
    })),
  };
}
