/** Splits a batch into the parts it is sent in, and puts their results together again. */
import type { ChunkLimits } from './backend.ts';
import { APIResponseValidationError } from './errors.ts';
import { combineMetrics } from './combine-metrics.ts';
import { toCsr, type DenseTensor } from './tensor.ts';
import type { PreparedDatum, TrainingCall } from './training-call.ts';
import type { Chunk, ForwardBackwardOutput } from './types.ts';

export const DEFAULT_LIMITS: ChunkLimits = { maxDatums: 1024, maxBytes: 5_000_000, parallel: false };

function chunkBytes(chunk: Chunk): number {
  switch (chunk.type) {
    case 'encoded_text':
      return 4 * chunk.tokens.length;
    case 'image':
      return chunk.data.length;
    case 'image_asset_pointer':
      return chunk.location.length;
    case 'dmel':
      return chunk.dmel.length;
    default:
      return chunk satisfies never;
  }
}

function tensorBytes(tensor: DenseTensor): number {
  const size = tensor.dtype === 'int64' ? 8 : 4;
  const sparse = toCsr(tensor);
  if (sparse === null) return size * tensor.data.length;
  return size * sparse.values.length + 8 * (sparse.crow.length + sparse.cols.length);
}

/** An estimate of what a datum weighs on the wire, in bytes. */
export function datumBytes(datum: PreparedDatum): number {
  const text = datum.chunks.reduce((sum, chunk) => sum + chunkBytes(chunk), 0);
  return Object.values(datum.inputs).reduce((sum, tensor) => sum + tensorBytes(tensor), text);
}

/** The same for a whole call. */
export const callBytes = (call: TrainingCall): number =>
  call.data.reduce((sum, datum) => sum + datumBytes(datum), 0);

/** Ranges [from, to) of datums that fit the limits. A datum larger than the limit travels alone. */
export function splitBatch(
  data: readonly PreparedDatum[],
  limits: ChunkLimits,
): [from: number, to: number][] {
  const ranges: [number, number][] = [];
  let from = 0;
  let bytes = 0;
  data.forEach((datum, i) => {
    const size = datumBytes(datum);
    if (i > from && (i - from >= limits.maxDatums || bytes + size > limits.maxBytes)) {
      ranges.push([from, i]);
      from = i;
      bytes = 0;
    }
    bytes += size;
  });
  ranges.push([from, data.length]);
  return ranges;
}

export const partOf = (call: TrainingCall, [from, to]: readonly [number, number]): TrainingCall => ({
  ...call,
  data: call.data.slice(from, to),
});

/** The result of the whole call from those of its parts, in the order of the datums. */
export function combineOutputs(
  parts: readonly ForwardBackwardOutput[],
  datumCounts: readonly number[],
): ForwardBackwardOutput {
  const [first] = parts;
  if (first === undefined) throw new RangeError('A call has at least one part.');
  parts.forEach((part, i) => {
    if (part.lossFnOutputs.length === datumCounts[i]) return;
    throw new APIResponseValidationError({
      message: `The answer has outputs of ${String(part.lossFnOutputs.length)} datums, ${String(datumCounts[i])} were sent.`,
    });
  });
  if (parts.length === 1) return first;
  const combined: ForwardBackwardOutput = {
    lossFnOutputType: first.lossFnOutputType,
    lossFnOutputs: parts.flatMap(({ lossFnOutputs }) => lossFnOutputs),
    metrics: combineMetrics(
      parts.map(({ metrics }) => metrics),
      datumCounts,
    ),
  };
  if (first.computedByClient !== undefined) combined.computedByClient = first.computedByClient;
  return combined;
}
