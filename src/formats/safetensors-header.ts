/**
 * The header of a safetensors file: every rule of the format, and caps on what a stranger's file may claim.
 * Pure: takes the header's bytes and the length of the data behind it, gives the table of tensors.
 */
import { StudioError } from '../errors.ts';
import { decodeUtf8, isJsonObject, parseStrictObject, type JsonValue } from './strict-json.ts';
import type { TensorInfo } from './tensors.ts';

/** The format's own maximum for the header. */
export const FORMAT_HEADER_LIMIT = 100_000_000;
/** Ours: a header for 100,000 tensors with long names is about this large. */
export const DEFAULT_HEADER_LIMIT = 16 * 2 ** 20;
const MAX_TENSORS = 100_000;
const MAX_NAME_BYTES = 1024;
const MAX_DIMS = 64;

/** Bits per element of every dtype that the format names. */
export const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ...['BOOL', 'U8', 'I8', 'F8_E5M2', 'F8_E4M3', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'].map(
    (name) => [name, 8] as const,
  ),
  ...['I16', 'U16', 'F16', 'BF16'].map((name) => [name, 16] as const),
  ...['I32', 'U32', 'F32'].map((name) => [name, 32] as const),
  ...['I64', 'U64', 'F64', 'C64'].map((name) => [name, 64] as const),
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
]);

/** A tensor and where its bytes lie, counted from the start of the data. */
export interface TensorSlot extends TensorInfo {
  readonly start: number;
}

export interface SafetensorsHeader {
  /** The strings of `__metadata__`; empty when there is none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the data. */
  readonly slots: readonly TensorSlot[];
}

/** The error of everything that is wrong with a safetensors file. */
export function safetensorsError(file: string, problem: string): StudioError {
  return new StudioError({
    code: 'SAFETENSORS_INVALID',
    message: `${file}: ${problem}.`,
    fix: 'The file is damaged or was not written whole. Get it again from its source.',
  });
}

/** Reads the first 8 bytes: the length of the header, within the limits and the file. */
export function readHeaderLength(
  file: string,
  first8: Uint8Array,
  fileSize: number,
  limit = DEFAULT_HEADER_LIMIT,
): number {
  if (first8.byteLength < 8 || fileSize < 8) {
    throw safetensorsError(file, `a safetensors file has at least 8 bytes, this one has ${String(fileSize)}`);
  }
  const length = new DataView(first8.buffer, first8.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(FORMAT_HEADER_LIMIT)) {
    throw safetensorsError(file, `the header claims ${String(length)} bytes, more than the format allows`);
  }
  if (length > BigInt(limit)) {
    throw safetensorsError(file, `the header claims ${String(length)} bytes, more than ${String(limit)}`);
  }
  if (length > BigInt(fileSize - 8)) {
    throw safetensorsError(
      file,
      `the header claims ${String(length)} bytes, the file has ${String(fileSize)}`,
    );
  }
  if (length === 0n) throw safetensorsError(file, 'the header is empty');
  return Number(length);
}

// C0 and C1 controls, and the marks that make text run backwards or vanish on a screen.
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/;
const LONE_SURROGATE = /\p{Surrogate}/u;

function checkName(file: string, name: string): void {
  const shown = JSON.stringify(name.slice(0, 80));
  if (name === '') throw safetensorsError(file, 'a tensor has an empty name');
  if (new TextEncoder().encode(name).byteLength > MAX_NAME_BYTES) {
    throw safetensorsError(
      file,
      `the tensor name ${shown}... is longer than ${String(MAX_NAME_BYTES)} bytes`,
    );
  }
  if (UNPRINTABLE.test(name) || LONE_SURROGATE.test(name)) {
    throw safetensorsError(file, `the tensor name ${shown} holds characters that cannot be shown`);
  }
  if (name in Object.prototype) throw safetensorsError(file, `${shown} cannot be a tensor name`);
}

function readInteger(file: string, name: string, value: JsonValue | undefined, what: string): number {
  // The parser admits plain whole numbers only; here the other JSON types go.
  if (typeof value === 'number') return value;
  throw safetensorsError(file, `${what} of tensor ${name} is not a whole number`);
}

function readShape(file: string, name: string, value: JsonValue | undefined): number[] {
  if (!Array.isArray(value)) throw safetensorsError(file, `tensor ${name} has no shape`);
  if (value.length > MAX_DIMS) {
    throw safetensorsError(file, `tensor ${name} has ${String(value.length)} dimensions`);
  }
  return value.map((dim) => readInteger(file, name, dim, 'the shape'));
}

function byteLengthOf(file: string, name: string, bits: number, shape: readonly number[]): number {
  let total = bits;
  for (const dim of shape) {
    total *= dim;
    if (!Number.isSafeInteger(total))
      throw safetensorsError(file, `the shape of tensor ${name} is too large`);
  }
  if (total % 8 !== 0) throw safetensorsError(file, `tensor ${name} does not fill whole bytes`);
  return total / 8;
}

function readSlot(file: string, name: string, value: JsonValue): TensorSlot {
  checkName(file, name);
  if (!isJsonObject(value)) throw safetensorsError(file, `the entry of tensor ${name} is not an object`);
  const unknown = Object.keys(value).find((key) => !['dtype', 'shape', 'data_offsets'].includes(key));
  if (unknown !== undefined) {
    throw safetensorsError(file, `tensor ${name} has the unknown field ${JSON.stringify(unknown)}`);
  }
  const dtype = value['dtype'];
  const bits = typeof dtype === 'string' ? DTYPE_BITS.get(dtype) : undefined;
  if (typeof dtype !== 'string' || bits === undefined) {
    throw safetensorsError(file, `tensor ${name} has the unknown dtype ${JSON.stringify(dtype ?? null)}`);
  }
  const shape = readShape(file, name, value['shape']);
  const offsets = value['data_offsets'];
  if (!Array.isArray(offsets) || offsets.length !== 2) {
    throw safetensorsError(file, `tensor ${name} has no pair of data offsets`);
  }
  const start = readInteger(file, name, offsets[0], 'an offset');
  const end = readInteger(file, name, offsets[1], 'an offset');
  const byteLength = byteLengthOf(file, name, bits, shape);
  if (end < start || end - start !== byteLength) {
    throw safetensorsError(
      file,
      `tensor ${name} (${dtype} [${shape.join(', ')}]) needs ${String(byteLength)} bytes, its offsets span ${String(end - start)}`,
    );
  }
  return { name, dtype, shape, byteLength, start };
}

function readMetadata(file: string, value: JsonValue | undefined): Record<string, string> {
  const metadata = Object.create(null) as Record<string, string>;
  // MLX writes null for none, as the upstream library reads it.
  if (value === undefined || value === null) return metadata;
  if (!isJsonObject(value)) throw safetensorsError(file, '__metadata__ is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw safetensorsError(file, `__metadata__.${key} is not a string`);
    metadata[key] = text;
  }
  return metadata;
}

/** Parses and checks a header against the number of data bytes that follow it. */
export function parseHeader(file: string, bytes: Uint8Array, dataLength: number): SafetensorsHeader {
  const root = parseStrictObject(decodeUtf8(bytes, `The header of ${file}`, 'SAFETENSORS_INVALID'), {
    what: `The header of ${file}`,
    code: 'SAFETENSORS_INVALID',
    maxDepth: 4,
    integersOnly: true,
  });
  const { __metadata__, ...entries } = root;
  const metadata = readMetadata(file, __metadata__);
  const names = Object.keys(entries);
  if (names.length > MAX_TENSORS) {
    throw safetensorsError(
      file,
      `it holds ${String(names.length)} tensors, more than ${String(MAX_TENSORS)}`,
    );
  }
  const slots = Object.entries(entries).map(([name, value]) => readSlot(file, name, value));
  if (new Set(names.map((name) => name.normalize('NFC'))).size !== names.length) {
    throw safetensorsError(file, 'two tensor names differ only in how their accents are written');
  }
  // Stable, so that empty tensors, which share a start, keep the order of the header.
  slots.sort((a, b) => a.start - b.start || a.byteLength - b.byteLength);
  let end = 0;
  for (const slot of slots) {
    if (slot.start !== end) {
      const problem = slot.start < end ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw safetensorsError(file, `tensor ${slot.name} ${problem}`);
    }
    end += slot.byteLength;
  }
  if (end !== dataLength) {
    throw safetensorsError(
      file,
      `the tensors need ${String(end)} bytes of data, the file has ${String(dataLength)}`,
    );
  }
  return { metadata, slots };
}
