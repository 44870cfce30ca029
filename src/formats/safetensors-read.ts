/** Safetensors as named tensors: over random access (models, folders), or out of a stream (archives). */
import type { ByteSource } from './bytes.ts';
import { PieceReader } from './piece-reader.ts';
import { parseHeader, readHeaderLength, safetensorsError, type TensorSlot } from './safetensors-header.ts';
import type { TensorInfo, TensorSource } from './tensors.ts';

export interface SafetensorsOptions {
  /** Largest header that is read; default 16 MiB. */
  maxHeaderBytes?: number;
  /**
   * Refuse a header whose length is not a multiple of 8. Default true. Off for base models: files written before
   * safetensors 0.3 (such as GPT-2 on the Hub) have no padding, and every tensor is copied out anyway.
   */
  requireAligned?: boolean;
}

export interface SafetensorsFile extends TensorSource {
  readonly metadata: Readonly<Record<string, string>>;
}

function checkAlignment(file: string, length: number, options: SafetensorsOptions): void {
  if (length % 8 !== 0 && (options.requireAligned ?? true)) {
    throw safetensorsError(file, `the header's length ${String(length)} is not a multiple of 8`);
  }
}

async function readExactly(source: ByteSource, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await source.read(start, end);
  if (bytes.byteLength === end - start) return bytes;
  throw safetensorsError(source.name, 'the file became shorter while it was being read');
}

function missingTensor(file: string, name: string): Error {
  return safetensorsError(file, `there is no tensor ${name}`);
}

function describe({ name, dtype, shape, byteLength }: TensorSlot): TensorInfo {
  return { name, dtype, shape, byteLength };
}

/** Opens a safetensors file: reads and checks the header; tensors are read one by one when asked for. */
export async function openSafetensors(
  source: ByteSource,
  options: SafetensorsOptions = {},
): Promise<SafetensorsFile> {
  const first8 = await readExactly(source, 0, Math.min(8, source.size));
  const length = readHeaderLength(source.name, first8, source.size, options.maxHeaderBytes);
  checkAlignment(source.name, length, options);
  const headerBytes = await readExactly(source, 8, 8 + length);
  const header = parseHeader(source.name, headerBytes, source.size - 8 - length);
  const slots = new Map(header.slots.map((slot) => [slot.name, slot]));
  const infos = header.slots.map(describe);
  const byName = new Map(infos.map((info) => [info.name, info]));
  return {
    metadata: header.metadata,
    list: () => infos,
    get: (name) => byName.get(name),
    read: async (name) => {
      const slot = slots.get(name);
      if (slot === undefined) throw missingTensor(source.name, name);
      const start = 8 + length + slot.start;
      return readExactly(source, start, start + slot.byteLength);
    },
  };
}

/**
 * Reads a whole safetensors file of a known size out of a stream, tensor by tensor: the header is checked before
 * any memory for tensors is taken, and no tensor is held twice once it is there.
 */
export async function readSafetensorsStream(
  file: string,
  size: number,
  chunks: AsyncIterable<Uint8Array>,
  options: SafetensorsOptions = {},
): Promise<SafetensorsFile> {
  const reader = new PieceReader(chunks, () => safetensorsError(file, 'the file ends too early'));
  const first8 = await reader.take(Math.min(8, size), file);
  const length = readHeaderLength(file, first8, size, options.maxHeaderBytes);
  checkAlignment(file, length, options);
  const headerBytes = await reader.take(length, `the header of ${file}`);
  const header = parseHeader(file, headerBytes, size - 8 - length);
  const data = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const slot of header.slots) {
    data.set(slot.name, await reader.take(slot.byteLength, slot.name));
  }
  await reader.finish();
  const infos = header.slots.map(describe);
  const byName = new Map(infos.map((info) => [info.name, info]));
  return {
    metadata: header.metadata,
    list: () => infos,
    get: (name) => byName.get(name),
    read: (name) => {
      const bytes = data.get(name);
      return bytes === undefined ? Promise.reject(missingTensor(file, name)) : Promise.resolve(bytes);
    },
  };
}
