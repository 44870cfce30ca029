/** Training requests and results in JSON. Only the listed keys change their case. */
import { wireKey } from '../loss-inputs.ts';
import type { FullSamplingParams } from '../parameters.ts';
import type { SampleRequest } from '../backend.ts';
import { toCsr, type DenseTensor } from '../tensor.ts';
import type { TrainingCall } from '../training-call.ts';
import type { AdamParams, Chunk, ForwardBackwardOutput, TensorData } from '../types.ts';
import { invalidAnswer } from './answer.ts';
import { isJson, numberOrNaN, reader, type Json } from './wire-read.ts';

export function encodeChunk(chunk: Chunk): Json {
  switch (chunk.type) {
    case 'encoded_text':
      return { type: 'encoded_text', tokens: chunk.tokens };
    case 'image':
      return {
        type: 'image',
        data: chunk.data,
        format: chunk.format,
        expected_tokens: chunk.expectedTokens ?? null,
      };
    case 'image_asset_pointer':
      return {
        type: 'image_asset_pointer',
        format: chunk.format,
        location: chunk.location,
        expected_tokens: chunk.expectedTokens ?? null,
      };
    case 'dmel':
      return { type: 'dmel', dmel: chunk.dmel };
    default:
      return chunk satisfies never;
  }
}

/** Dense, or CSR where that is smaller and the server reads it. */
function encodeTensor(tensor: DenseTensor, sparse: boolean): Json {
  const csr = sparse ? toCsr(tensor) : null;
  if (csr === null) return { data: Array.from(tensor.data), dtype: tensor.dtype, shape: tensor.shape };
  return {
    data: csr.values,
    dtype: tensor.dtype,
    shape: tensor.shape,
    sparse_crow_indices: csr.crow,
    sparse_col_indices: csr.cols,
  };
}

/** `forward_input` and `forward_backward_input`. */
export function encodeTrainingInput(call: TrainingCall, sparse: boolean): Json {
  const config = Object.entries(call.lossFnConfig).map(([key, value]) => [wireKey(key), value] as const);
  return {
    data: call.data.map(({ chunks, inputs }) => ({
      model_input: { chunks: chunks.map(encodeChunk) },
      loss_fn_inputs: Object.fromEntries(
        Object.entries(inputs).map(([key, tensor]) => [wireKey(key), encodeTensor(tensor, sparse)]),
      ),
    })),
    loss_fn: call.lossFn,
    loss_fn_config: config.length === 0 ? null : Object.fromEntries(config),
  };
}

export const encodeAdam = (adam: Required<AdamParams>): Json => ({
  learning_rate: adam.learningRate,
  beta1: adam.beta1,
  beta2: adam.beta2,
  eps: adam.eps,
  weight_decay: adam.weightDecay,
  grad_clip_norm: adam.gradClipNorm,
});

const encodeStop = (stop: FullSamplingParams['stop']): Json['stop'] =>
  stop === null ? null : 'strings' in stop ? stop.strings : stop.tokens;

export const encodeSampling = (params: FullSamplingParams, maxTokens: number | null): Json => ({
  max_tokens: params.maxTokens ?? maxTokens,
  seed: params.seed,
  stop: encodeStop(params.stop),
  temperature: params.temperature,
  top_k: params.topK,
  top_p: params.topP,
});

export const encodeSample = (request: SampleRequest, maxTokens: number | null): Json => ({
  num_samples: request.numSamples,
  prompt: { chunks: request.prompt.map(encodeChunk) },
  sampling_params: encodeSampling(request.params, maxTokens),
  prompt_logprobs: request.promptLogprobs ? true : null,
  topk_prompt_logprobs: request.topkPromptLogprobs,
  type: 'sample',
});

export function decodeTensor(value: unknown, what: string): TensorData {
  const r = reader(value, what);
  const dtype = r.optionalText('dtype') ?? 'float32';
  const data = r.list('data').map((v) => numberOrNaN(v, what));
  const shape = r.optionalList('shape')?.map((v) => numberOrNaN(v, what)) ?? [data.length];
  if (shape.reduce((a, b) => a * b, 1) !== data.length) {
    throw invalidAnswer(what, `has ${String(data.length)} values for the shape [${shape.join(', ')}]`);
  }
  // int32 and bfloat16 widen.
  return { data, dtype: dtype.startsWith('int') ? 'int64' : 'float32', shape };
}

export function decodeForwardBackward(body: unknown, what: string): ForwardBackwardOutput {
  const r = reader(body, what);
  const metrics: Record<string, number> = {};
  for (const [key, value] of Object.entries(r.record('metrics'))) metrics[key] = numberOrNaN(value, what);
  return {
    lossFnOutputType: r.optionalText('loss_fn_output_type') ?? '',
    lossFnOutputs: r.list('loss_fn_outputs').map((output) => {
      if (!isJson(output)) throw invalidAnswer(what, 'has an output that is no object');
      return Object.fromEntries(
        Object.entries(output).map(([key, tensor]) => [key, decodeTensor(tensor, what)]),
      );
    }),
    metrics,
  };
}

export function decodeMetrics(body: unknown, what: string): Record<string, number> | undefined {
  if (!isJson(body)) throw invalidAnswer(what, 'is no object');
  const found = body['metrics'];
  if (found === undefined || found === null) return undefined;
  return Object.fromEntries(
    Object.entries(reader(body, what).record('metrics')).map(([k, v]) => [k, numberOrNaN(v, what)]),
  );
}
