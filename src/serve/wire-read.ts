/** Requests of the wire as the interface's values: checked by the same rules as those of a program on this machine. */
import { BadRequestError } from '../api/errors.ts';
import { checkLossFn, INPUT_DTYPES, lossInputKey } from '../api/loss-inputs.ts';
import { OptimizerMismatchError, UnsupportedFeatureError } from '../api/own-errors.ts';
import { checkAdam, checkSampling } from '../api/parameters.ts';
import { prepareTrainingCall, type TrainingCall } from '../api/training-call.ts';
import type { OptimStepRequest, SampleRequest } from '../api/backend.ts';
import type { AdamParams, Chunk, Datum, LossFnType, LossInput, SamplingParams } from '../api/types.ts';
import { checkTokens, ModelInput } from '../api/model-input.ts';
import type { z } from 'zod';
import type { optimStepSchema, WirePass, WireSample } from './wire-requests.ts';

type WireChunk = WirePass['data'][number]['model_input']['chunks'][number];
type WireTensor = WirePass['data'][number]['loss_fn_inputs'][string];

function readChunk(chunk: WireChunk): Chunk {
  if (chunk.type === 'encoded_text' || chunk.type === 'dmel') return chunk;
  const { expected_tokens: expectedTokens, ...rest } = chunk;
  return expectedTokens === null || expectedTokens === undefined ? rest : { ...rest, expectedTokens };
}

/** A tensor has the dtype that its key has: clients write whole weights as int64 and short forms without any. */
function readTensor(key: string, tensor: WireTensor, lossFn: LossFnType): LossInput {
  const known = lossInputKey(key, lossFn);
  const { data, shape, sparse_crow_indices: crow, sparse_col_indices: cols } = tensor;
  return {
    data,
    dtype: known === null ? (tensor.dtype ?? 'float32') : INPUT_DTYPES[known],
    ...(shape === null || shape === undefined ? {} : { shape }),
    ...(crow === null || crow === undefined ? {} : { sparseCrowIndices: crow }),
    ...(cols === null || cols === undefined ? {} : { sparseColIndices: cols }),
  };
}

/** Throws BadRequestError by the rules of the interface. */
export function readPass(pass: WirePass): TrainingCall {
  const { loss_fn: lossFn } = pass;
  checkLossFn(lossFn);
  const data = pass.data.map((datum): Datum => ({
    modelInput: { chunks: datum.model_input.chunks.map(readChunk) },
    lossFnInputs: Object.fromEntries(
      Object.entries(datum.loss_fn_inputs).map(([key, tensor]) => [key, readTensor(key, tensor, lossFn)]),
    ),
  }));
  return prepareTrainingCall(data, lossFn, pass.loss_fn_config ?? null);
}

const given = <T>(value: T | null | undefined): value is T => value !== null && value !== undefined;

export function checkOptimizer(config: { type: string } | null | undefined): void {
  if (!given(config) || config.type === 'adamw') return;
  throw new OptimizerMismatchError({
    message: `The optimizer is AdamW; ${JSON.stringify(config.type)} is not there.`,
    field: 'optimizer',
    expected: 'adamw',
    actual: config.type,
    fix: 'Leave the optimizer out, or use AdamW.',
  });
}

export function readOptimStep(body: z.infer<typeof optimStepSchema>): OptimStepRequest {
  const wire = body.adam_params ?? body.optimizer_params ?? {};
  checkOptimizer(given(wire.type) ? { type: wire.type } : null);
  const params: AdamParams = {};
  if (given(wire.learning_rate)) params.learningRate = wire.learning_rate;
  if (given(wire.beta1)) params.beta1 = wire.beta1;
  if (given(wire.beta2)) params.beta2 = wire.beta2;
  if (given(wire.eps)) params.eps = wire.eps;
  if (given(wire.weight_decay)) params.weightDecay = wire.weight_decay;
  if (given(wire.grad_clip_norm)) params.gradClipNorm = wire.grad_clip_norm;
  return {
    adam: checkAdam(params),
    gradAccumulationNormalization: body.grad_accumulation_normalization ?? 'none',
    emitGradNormMetrics: body.emit_grad_norm_metrics ?? 'basic',
  };
}

function refuse(feature: string): never {
  throw new UnsupportedFeatureError({
    feature,
    backend: 'lorikeet serve',
    why: 'the engine does not compute it',
    fix: 'Leave it out.',
  });
}

/** Throws for what would be left out of the answer. */
function refuseSampling(body: WireSample): void {
  if ((body.topk_sample_logprobs ?? 0) > 0) refuse('topk_sample_logprobs');
  if (given(body.target_prompt_logprobs)) refuse('target_prompt_logprobs');
  if ((body.prompt_alt_tokens_k ?? 0) > 0) refuse('prompt_alt_tokens_k');
  if (body.record_stability_info === true) refuse('record_stability_info');
}

export function readSample(body: WireSample): SampleRequest {
  refuseSampling(body);
  const { max_tokens: maxTokens, seed, stop, temperature, top_k: topK, top_p: topP } = body.sampling_params;
  const params: SamplingParams = {};
  if (given(maxTokens)) params.maxTokens = maxTokens;
  if (given(seed)) params.seed = seed;
  if (given(stop)) params.stop = stop;
  if (given(temperature)) params.temperature = temperature;
  if (given(topK)) params.topK = topK;
  if (given(topP)) params.topP = topP;
  const prompt = body.prompt.chunks.map(readChunk);
  for (const chunk of prompt) if (chunk.type === 'encoded_text') checkTokens(chunk.tokens, 'The prompt');
  if (ModelInput.length({ chunks: prompt }) === 0)
    throw new BadRequestError({ message: 'The prompt is empty.' });
  return {
    prompt,
    numSamples: body.num_samples ?? 1,
    params: checkSampling(params),
    promptLogprobs: body.prompt_logprobs ?? false,
    topkPromptLogprobs: body.topk_prompt_logprobs ?? 0,
  };
}

/** Metadata is text on the wire. */
export function readMetadata(
  value: Readonly<Record<string, unknown>> | null | undefined,
): Record<string, string> | null {
  if (!given(value)) return null;
  const entries = Object.entries(value).map(
    ([key, v]) => [key, typeof v === 'string' ? v : JSON.stringify(v)] as const,
  );
  return entries.length === 0 ? null : Object.fromEntries(entries);
}
