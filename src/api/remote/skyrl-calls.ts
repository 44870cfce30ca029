/**
 * Training calls as SkyRL's JAX backend understands them. Its loss is a mean, twice: Σ weight·loss of a sequence ÷ Σ
 * weight, then ÷ the sequences since the last step; for RL losses too, where absent weights count as 1.
 */
import type { CustomLossParts } from '../backend.ts';
import { BadRequestError } from '../errors.ts';
import { UnsupportedFeatureError } from '../own-errors.ts';
import type { DenseTensor } from '../tensor.ts';
import type { PreparedDatum, TrainingCall } from '../training-call.ts';

/** What a call is on this server: parts of one call share it. */
export interface SkyrlMark {
  readonly id: symbol;
  /** Scaled so that the server's mean is a sum; only right with one forwardBackward for each step. */
  readonly scaled: boolean;
}

const MARK = Symbol('skyrl');
export type SkyrlCall = TrainingCall & { readonly [MARK]: SkyrlMark };

export const markOf = (call: TrainingCall): SkyrlMark | null =>
  MARK in call ? (call as SkyrlCall)[MARK] : null;
const marked = (call: TrainingCall, scaled: boolean): SkyrlCall => ({
  ...call,
  [MARK]: { id: Symbol('call'), scaled },
});

/** What the caller gave, by what is sent: the loss is computed from the former. */
const originals = new WeakMap<PreparedDatum, PreparedDatum>();
export const originalOf = (datum: PreparedDatum): PreparedDatum => originals.get(datum) ?? datum;

function refuse(feature: string, why: string, fix?: string): never {
  throw new UnsupportedFeatureError({
    feature,
    backend: 'SkyRL',
    why,
    ...(fix === undefined ? {} : { fix }),
  });
}

const float = (data: Float32Array, like: DenseTensor): DenseTensor => ({
  dtype: 'float32',
  shape: like.shape,
  data,
});

/** 1 where the advantage is not 0: prompt tokens would enlarge the divisor. All 1 where every advantage is 0. */
function maskOf(advantages: Float32Array | Int32Array): Float32Array {
  const mask = Float32Array.from(advantages, (a) => (a === 0 ? 0 : 1));
  return mask.some((m) => m !== 0) ? mask : mask.fill(1);
}

const total = (values: Float32Array): number => values.reduce((a, b) => a + b, 0);

function check(call: TrainingCall): void {
  if (call.lossFn === 'dro') {
    refuse('the loss dro', 'it has no such loss', 'Write it as a custom loss with forwardBackwardCustom.');
  }
  call.data.forEach(({ chunks, inputs }, i) => {
    if (chunks.some(({ type }) => type !== 'encoded_text'))
      refuse('images and audio', `datum ${String(i)} has some`);
    if (inputs.targetTokens.shape.length > 1)
      refuse('several targets at a position', `datum ${String(i)} has some`);
    if (inputs.clipLowThreshold !== undefined || inputs.clipHighThreshold !== undefined) {
      refuse('clip thresholds for each token', `datum ${String(i)} has some`, 'Give them in lossFnConfig.');
    }
  });
}

/** Throws what the server cannot do, by name, and writes the rest so that it means the same. */
export function prepareSkyrl(call: TrainingCall, backward: boolean, emulateSum: boolean): SkyrlCall {
  check(call);
  if (call.lossFn === 'cross_entropy') {
    if (backward) {
      call.data.forEach(({ inputs }, i) => {
        const { weights } = inputs;
        if (weights === undefined) return;
        const sum = total(Float32Array.from(weights.data));
        // Without any weight nothing is trained on, which is harmless; a small or negative sum is not.
        if (weights.data.every((w) => w === 0) || sum > 1e-3) return;
        throw new BadRequestError({
          message: `Datum ${String(i)}: its weights sum to ${String(sum)}. SkyRL divides by that sum, so the gradient would be about 10^9 times too large.`,
          fix: 'Use weights with a positive sum, or forwardBackwardCustom.',
        });
      });
    }
    return marked(call, false);
  }
  const count = call.data.length;
  const data = call.data.map((datum) => {
    const { advantages } = datum.inputs;
    if (advantages === undefined) return datum;
    const mask = maskOf(advantages.data);
    const scale = emulateSum && backward ? total(mask) * count : 1;
    const sent: PreparedDatum = {
      ...datum,
      inputs: {
        ...datum.inputs,
        weights: float(mask, advantages),
        advantages: float(
          Float32Array.from(advantages.data, (a) => a * scale),
          advantages,
        ),
      },
    };
    originals.set(sent, datum);
    return sent;
  });
  return marked({ ...call, data }, emulateSum && backward);
}

/**
 * The surrogate of a custom loss. Through cross_entropy it would be divided by the sum of weights of mixed signs, so it
 * goes as importance_sampling at ratio 1: weights 1, advantages −∂C/∂logp × N × sequences, which both means undo.
 */
export function skyrlSurrogate({ call, logprobs, gradLogprobs }: CustomLossParts): SkyrlCall {
  const count = call.data.length;
  const data = call.data.map((datum, i): PreparedDatum => {
    const { targetTokens } = datum.inputs;
    const gradient = gradLogprobs[i] ?? new Float32Array(0);
    const scale = gradient.length * count;
    return {
      ...datum,
      inputs: {
        targetTokens,
        weights: float(new Float32Array(gradient.length).fill(1), targetTokens),
        logprobs: float(logprobs[i] ?? new Float32Array(0), targetTokens),
        advantages: float(
          Float32Array.from(gradient, (g) => 0 - g * scale),
          targetTokens,
        ),
      },
    };
  });
  return marked({ data, lossFn: 'importance_sampling', lossFnConfig: {} }, true);
}
