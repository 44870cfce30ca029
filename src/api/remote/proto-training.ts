/** Training in protobuf: requests and results, in both directions (clients write the one, servers the other). */
import { APIResponseValidationError, BadRequestError } from '../errors.ts';
import { wireKey } from '../loss-inputs.ts';
import { toCsr, type DenseTensor } from '../tensor.ts';
import type { TrainingCall } from '../training-call.ts';
import type { Chunk, ForwardBackwardOutput, TensorData } from '../types.ts';
import {
  DTYPE,
  float32Bytes,
  int32Bytes,
  int64Bytes,
  readArray,
  readInt32,
  readInt64,
} from './proto-arrays.ts';
import {
  toBytes,
  protoFields,
  ProtoWriter,
  toDouble,
  toInt32,
  toInts,
  toInt64,
  toText,
  toUint64,
} from './protobuf.ts';

const base64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const toBase64 = (bytes: Uint8Array): string =>
  btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));

function writeChunk(w: ProtoWriter, chunk: Chunk): void {
  switch (chunk.type) {
    case 'encoded_text':
      w.message(1, (text) => text.bytes(1, int32Bytes(chunk.tokens)));
      break;
    case 'image':
      w.message(2, (image) => {
        image.bytes(1, base64(chunk.data)).string(2, chunk.format);
        if (chunk.expectedTokens !== undefined) image.int(3, chunk.expectedTokens);
      });
      break;
    case 'dmel':
      w.message(3, (audio) => audio.bytes(1, base64(chunk.dmel)));
      break;
    case 'image_asset_pointer':
      throw new BadRequestError({ message: 'Image asset pointers cannot be sent for training.' });
    default:
      chunk satisfies never;
  }
}

function writeTensor(w: ProtoWriter, tensor: DenseTensor): void {
  const bytes = tensor.dtype === 'int64' ? int64Bytes : float32Bytes;
  const csr = toCsr(tensor);
  if (csr === null) w.bytes(1, bytes(tensor.data));
  else {
    w.message(2, (sparse) => {
      sparse.bytes(1, bytes(csr.values)).bytes(2, int64Bytes(csr.crow)).bytes(3, int64Bytes(csr.cols));
    });
  }
  w.int(3, DTYPE[tensor.dtype]).packed(4, tensor.shape);
}

export interface ForwardBackwardRequest {
  modelId: string;
  seqId: number;
  call: TrainingCall;
  forwardOnly: boolean;
}

export function encodeForwardBackwardRequest(request: ForwardBackwardRequest): Uint8Array<ArrayBuffer> {
  const w = new ProtoWriter().string(1, request.modelId).int(2, request.seqId);
  for (const { chunks, inputs } of request.call.data) {
    w.message(3, (datum) => {
      for (const chunk of chunks) datum.message(1, (c) => writeChunk(c, chunk));
      for (const [key, tensor] of Object.entries(inputs)) {
        datum.message(2, (entry) => entry.string(1, wireKey(key)).message(2, (t) => writeTensor(t, tensor)));
      }
    });
  }
  w.string(4, request.call.lossFn);
  for (const [key, value] of Object.entries(request.call.lossFnConfig)) {
    w.message(5, (entry) => entry.string(1, wireKey(key)).double(2, value));
  }
  if (request.forwardOnly) w.int(6, 1);
  return w.finish();
}

function readChunk(bytes: Uint8Array): Chunk {
  for (const f of protoFields(bytes)) {
    if (f.field < 1 || f.field > 3) continue;
    const inner = toBytes(f);
    const fields = [...protoFields(inner)];
    const content = fields.find(({ field }) => field === 1)?.bytes ?? new Uint8Array(0);
    if (f.field === 1) return { type: 'encoded_text', tokens: readInt32(content) };
    if (f.field === 3) return { type: 'dmel', dmel: toBase64(content) };
    const format = fields.find(({ field }) => field === 2);
    const expected = fields.find(({ field }) => field === 3);
    const image = {
      type: 'image' as const,
      data: toBase64(content),
      format: format && toText(format) === 'jpeg' ? ('jpeg' as const) : ('png' as const),
    };
    return expected === undefined ? image : { ...image, expectedTokens: toInt32(expected) };
  }
  throw new APIResponseValidationError({ message: 'A chunk of the message is empty.' });
}

/** A tensor as callers write it; `toDense` checks it. */
function readTensor(bytes: Uint8Array): TensorData {
  let dense: Uint8Array | null = null;
  let sparse: { values: Uint8Array; crow: number[]; cols: number[] } | null = null;
  let dtype = 0;
  const shape: number[] = [];
  for (const f of protoFields(bytes)) {
    if (f.field === 1) dense = toBytes(f);
    else if (f.field === 2) {
      const parts = new Map([...protoFields(toBytes(f))].map((part) => [part.field, toBytes(part)]));
      const none = new Uint8Array(0);
      sparse = {
        values: parts.get(1) ?? none,
        crow: readInt64(parts.get(2) ?? none),
        cols: readInt64(parts.get(3) ?? none),
      };
    } else if (f.field === 3) dtype = toInt32(f);
    else if (f.field === 4) shape.push(...toInts(f).map(Number));
  }
  const array = readArray(sparse?.values ?? dense ?? new Uint8Array(0), dtype);
  const tensor: TensorData = {
    data: array.data,
    dtype: array.dtype,
    shape: shape.length === 0 ? [array.data.length] : shape,
  };
  return sparse === null
    ? tensor
    : { ...tensor, sparseCrowIndices: sparse.crow, sparseColIndices: sparse.cols };
}

export interface DecodedRequest {
  modelId: string;
  seqId: number;
  data: { modelInput: { chunks: Chunk[] }; lossFnInputs: Record<string, TensorData> }[];
  lossFn: string;
  lossFnConfig: Record<string, number>;
  forwardOnly: boolean;
}

export function decodeForwardBackwardRequest(message: Uint8Array): DecodedRequest {
  const request: DecodedRequest = {
    modelId: '',
    seqId: 0,
    data: [],
    lossFn: '',
    lossFnConfig: {},
    forwardOnly: false,
  };
  for (const f of protoFields(message)) {
    switch (f.field) {
      case 1:
        request.modelId = toText(f);
        break;
      case 2:
        request.seqId = toInt32(f);
        break;
      case 3: {
        const chunks: Chunk[] = [];
        const lossFnInputs: Record<string, TensorData> = {};
        for (const part of protoFields(toBytes(f))) {
          if (part.field === 1) chunks.push(readChunk(toBytes(part)));
          if (part.field === 2) {
            const [key, value] = entryOf(toBytes(part));
            lossFnInputs[key] = readTensor(value?.bytes ?? new Uint8Array(0));
          }
        }
        request.data.push({ modelInput: { chunks }, lossFnInputs });
        break;
      }
      case 4:
        request.lossFn = toText(f);
        break;
      case 5: {
        const [key, value] = entryOf(toBytes(f));
        request.lossFnConfig[key] = value === undefined ? 0 : toDouble(value);
        break;
      }
      case 6:
        request.forwardOnly = toUint64(f) !== 0;
        break;
      case 7: {
        // Newer clients write the settings here too, where a value may be text; no loss of ours has such.
        const [key, value] = entryOf(toBytes(f));
        request.lossFnConfig[key] = configNumber(value?.bytes ?? new Uint8Array(0));
        break;
      }
      default:
        break;
    }
  }
  return request;
}

/** The number of a setting; NaN, which the settings' check refuses, where it is text. */
function configNumber(bytes: Uint8Array): number {
  const number = [...protoFields(bytes)].find(({ field }) => field === 1);
  return number === undefined ? NaN : toDouble(number);
}

/** Key and value of a map entry. */
function entryOf(bytes: Uint8Array) {
  const fields = [...protoFields(bytes)];
  const key = fields.find(({ field }) => field === 1);
  return [key === undefined ? '' : toText(key), fields.find(({ field }) => field === 2)] as const;
}

/** One field of all datums of a record: their arrays one behind another. */
function readBatched(bytes: Uint8Array, count: number): TensorData[] {
  let data: Uint8Array = new Uint8Array(0);
  let offsets: number[] = [];
  let dtype = 0;
  const trailing: number[] = [];
  for (const f of protoFields(bytes)) {
    if (f.field === 1) data = toBytes(f);
    else if (f.field === 2) offsets = readInt64(toBytes(f));
    else if (f.field === 3) dtype = toInt32(f);
    else if (f.field === 4) trailing.push(...toInts(f).map(Number));
  }
  const inner = trailing.reduce((a, b) => a * b, 1);
  if (offsets.length !== count + 1 || offsets[0] !== 0 || offsets.at(-1) !== data.length || inner < 1) {
    throw new APIResponseValidationError({
      message: 'A batched tensor has offsets that do not fit its data.',
    });
  }
  return Array.from({ length: count }, (_, i) => {
    const [from = 0, to = 0] = [offsets[i], offsets[i + 1]];
    if (to < from)
      throw new APIResponseValidationError({ message: 'A batched tensor has offsets out of order.' });
    const array = readArray(data.subarray(from, to), dtype);
    return { data: array.data, dtype: array.dtype, shape: [array.data.length / inner, ...trailing] };
  });
}

export function decodeForwardBackwardOutput(message: Uint8Array): ForwardBackwardOutput {
  const output: ForwardBackwardOutput = { lossFnOutputType: '', lossFnOutputs: [], metrics: {} };
  for (const f of protoFields(message)) {
    if (f.field === 1) output.lossFnOutputType = toText(f).split(':').at(-1) ?? '';
    else if (f.field === 2) output.lossFnOutputs.push(...readRecord(toBytes(f)));
    else if (f.field === 3) {
      const [key, value] = entryOf(toBytes(f));
      output.metrics[key] = value === undefined ? 0 : toDouble(value);
    }
  }
  return output;
}

const MAX_DATUMS = 2 ** 24;

function readRecord(bytes: Uint8Array): Record<string, TensorData>[] {
  const fields: [string, Uint8Array][] = [];
  let count = 0;
  for (const f of protoFields(bytes)) {
    if (f.field === 2) {
      const [key, value] = entryOf(toBytes(f));
      fields.push([key, value?.bytes ?? new Uint8Array(0)]);
    } else if (f.field === 3) count = Number(toInt64(f));
  }
  if (count === 0) {
    const offsets = [...protoFields(fields[0]?.[1] ?? new Uint8Array(0))].find(({ field }) => field === 2);
    count = Math.max(0, (offsets?.bytes.length ?? 8) / 8 - 1);
  }
  if (!Number.isInteger(count) || count < 0 || count > MAX_DATUMS) {
    throw new APIResponseValidationError({ message: `A record claims ${String(count)} datums.` });
  }
  const columns = fields.map(([key, batched]) => [key, readBatched(batched, count)] as const);
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(
      columns.flatMap(([key, column]) => (column[i] === undefined ? [] : [[key, column[i]] as const])),
    ),
  );
}

/** The answer that a server of ours gives to clients that ask for protobuf. */
export function encodeForwardBackwardOutput(output: ForwardBackwardOutput): Uint8Array<ArrayBuffer> {
  const w = new ProtoWriter().string(1, output.lossFnOutputType);
  const keys = Object.keys(output.lossFnOutputs[0] ?? {});
  w.message(2, (record) => {
    record.string(1, output.lossFnOutputType);
    for (const key of keys) {
      const tensors = output.lossFnOutputs.map((o) => o[key] ?? { data: [], dtype: 'float32' as const });
      const dtype = tensors[0]?.dtype ?? 'float32';
      const parts = tensors.map(({ data }) => {
        const values = Array.from(data, Number);
        return dtype === 'int64' ? int64Bytes(values) : float32Bytes(values);
      });
      const offsets = [0];
      for (const part of parts) offsets.push((offsets.at(-1) ?? 0) + part.length);
      const all = new Uint8Array(offsets.at(-1) ?? 0);
      parts.forEach((part, i) => {
        all.set(part, offsets[i]);
      });
      const trailing = (tensors[0]?.shape ?? []).slice(1);
      record.message(2, (entry) =>
        entry
          .string(1, key)
          .message(2, (t) =>
            t.bytes(1, all).bytes(2, int64Bytes(offsets)).int(3, DTYPE[dtype]).packed(4, trailing),
          ),
      );
    }
    record.int(3, output.lossFnOutputs.length);
  });
  for (const [key, value] of Object.entries(output.metrics))
    w.message(3, (entry) => entry.string(1, key).double(2, value));
  return w.finish();
}
