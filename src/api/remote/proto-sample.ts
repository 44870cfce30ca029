/** Sampling in protobuf: results, and the parameters of requests. */
import { APIResponseValidationError } from '../errors.ts';
import type { FullSamplingParams } from '../parameters.ts';
import type { SampledSequence, SampleResponse } from '../types.ts';
import { float32Bytes, int32Bytes, readFloat32, readInt32 } from './proto-arrays.ts';
import { protoFields, ProtoWriter, toBytes, toFloat, toInt32, toInts, toText, toUint64 } from './protobuf.ts';

/** A row of top tokens that begins with this is no row. */
const PADDING = -99999;

function readSequence(bytes: Uint8Array): SampledSequence {
  const sequence: SampledSequence = { stopReason: 'stop', tokens: [] };
  for (const f of protoFields(bytes)) {
    if (f.field === 1) sequence.stopReason = toInt32(f) === 1 ? 'length' : 'stop';
    else if (f.field === 2) sequence.tokens = readInt32(toBytes(f));
    else if (f.field === 3) sequence.logprobs = readFloat32(toBytes(f));
  }
  return sequence;
}

function readTopk(bytes: Uint8Array): ([number, number][] | null)[] {
  let ids: number[] = [];
  let logprobs: number[] = [];
  let [k, length] = [0, 0];
  for (const f of protoFields(bytes)) {
    if (f.field === 1) ids = readInt32(toBytes(f));
    else if (f.field === 2) logprobs = readFloat32(toBytes(f));
    else if (f.field === 3) k = toInt32(f);
    else if (f.field === 4) length = toInt32(f);
  }
  if (k * length !== ids.length || ids.length !== logprobs.length) {
    throw new APIResponseValidationError({ message: 'The top tokens of the prompt do not fit their sizes.' });
  }
  return Array.from({ length }, (_, row) => {
    if (logprobs[row * k] === PADDING) return null;
    const pairs = Array.from({ length: k }, (__, i): [number, number] => [
      ids[row * k + i] ?? 0,
      logprobs[row * k + i] ?? NaN,
    ]);
    return pairs.filter(([, logprob]) => logprob !== PADDING);
  });
}

export function decodeSampleResponse(message: Uint8Array): SampleResponse {
  const response: SampleResponse = { sequences: [], promptCacheHitTokens: 0 };
  for (const f of protoFields(message)) {
    if (f.field === 1) response.sequences.push(readSequence(toBytes(f)));
    else if (f.field === 2)
      response.promptLogprobs = readFloat32(toBytes(f)).map((v) => (Number.isNaN(v) ? null : v));
    else if (f.field === 3) response.topkPromptLogprobs = readTopk(toBytes(f));
    else if (f.field === 4) response.promptCacheHitTokens = toInt32(f);
  }
  return response;
}

export function encodeSampleResponse(response: SampleResponse): Uint8Array<ArrayBuffer> {
  const w = new ProtoWriter();
  for (const { stopReason, tokens, logprobs } of response.sequences) {
    w.message(1, (s) => {
      if (stopReason === 'length') s.int(1, 1);
      s.bytes(2, int32Bytes(tokens));
      if (logprobs !== undefined) s.bytes(3, float32Bytes(logprobs));
    });
  }
  if (response.promptLogprobs !== undefined)
    w.bytes(2, float32Bytes(response.promptLogprobs.map((v) => v ?? NaN)));
  const rows = response.topkPromptLogprobs;
  if (rows !== undefined) {
    const k = rows.reduce((most, row) => Math.max(most, row?.length ?? 0), 0);
    const flat = rows.flatMap((row) =>
      Array.from({ length: k }, (_, i): [number, number] => row?.[i] ?? [0, PADDING]),
    );
    w.message(3, (t) =>
      t
        .bytes(1, int32Bytes(flat.map(([id]) => id)))
        .bytes(2, float32Bytes(flat.map(([, v]) => v)))
        .int(3, k)
        .int(4, rows.length),
    );
  }
  if (response.promptCacheHitTokens !== 0) w.int(4, response.promptCacheHitTokens);
  return w.finish();
}

export function encodeSamplingParams(params: FullSamplingParams): Uint8Array<ArrayBuffer> {
  const w = new ProtoWriter();
  if (params.maxTokens !== null) w.int(1, params.maxTokens);
  if (params.seed !== null) w.int(2, params.seed);
  w.float(3, params.temperature).int(4, params.topK).float(5, params.topP);
  const { stop } = params;
  if (stop !== null && 'strings' in stop) {
    w.message(6, (list) => {
      for (const text of stop.strings) list.string(1, text);
    });
  } else if (stop !== null) w.message(7, (list) => list.packed(1, stop.tokens));
  return w.finish();
}

export function decodeSamplingParams(message: Uint8Array): FullSamplingParams {
  const params: FullSamplingParams = {
    maxTokens: null,
    seed: null,
    stop: null,
    temperature: 1,
    topK: -1,
    topP: 1,
  };
  for (const f of protoFields(message)) {
    if (f.field === 1) params.maxTokens = toInt32(f);
    else if (f.field === 2) params.seed = toUint64(f);
    else if (f.field === 3) params.temperature = toFloat(f);
    else if (f.field === 4) params.topK = toInt32(f);
    else if (f.field === 5) params.topP = toFloat(f);
    else if (f.field === 6) params.stop = { strings: [...protoFields(toBytes(f))].map(toText) };
    else if (f.field === 7)
      params.stop = { tokens: [...protoFields(toBytes(f))].flatMap((p) => toInts(p).map(Number)) };
  }
  return params;
}
