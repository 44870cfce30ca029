/**
 * A file stored as its difference to the same file of another checkpoint: XOR, byte planes, gzip. One step deep: a
 * base is never a delta itself. Base and result are checked by their SHA-256 whenever the file is put together.
 */
import { StudioError } from '../errors.ts';
import { packPlanes, unpackPlanes, type StoredBlob } from './byte-planes.ts';
import { sha256Hex } from './sha256.ts';
import type { Chunk, Chunks } from './streams.ts';

export const DELTA_ENCODING = 'xor+byteplane+gzip';

/** What is kept beside a delta. */
export interface DeltaInfo {
  baseId: string;
  baseSha256: string;
  resultSha256: string;
  /** Bytes of the file per byte that is stored. */
  measuredRatio: number;
}

export interface DeltaBase {
  /** Of the checkpoint. */
  id: string;
  /** Whether that checkpoint is stored as a delta itself. */
  isDelta: boolean;
  bytes: Chunk;
}

function deltaError(message: string): StudioError {
  return new StudioError({
    code: 'DELTA_INVALID',
    message,
    fix: 'The stored checkpoint or its base is damaged. Use another checkpoint of the run.',
  });
}

function xor(a: Uint8Array, b: Uint8Array): Chunk {
  const out = new Uint8Array(a.byteLength);
  for (let i = 0; i < out.byteLength; i++) out[i] = (a[i] ?? 0) ^ (b[i] ?? 0);
  return out;
}

/**
 * The difference of `result` to a base, with the ratio that was really reached; null when it would not be smaller than
 * the file. Throws DELTA_INVALID for a base that is a delta itself or of another size.
 */
export async function encodeDelta(
  base: DeltaBase,
  result: Chunk,
): Promise<{ stored: StoredBlob; info: DeltaInfo } | null> {
  if (base.isDelta) throw deltaError(`The base ${base.id} is a delta itself.`);
  if (base.bytes.byteLength !== result.byteLength) {
    throw deltaError(
      `The base ${base.id} has ${String(base.bytes.byteLength)} bytes, the file ${String(result.byteLength)}.`,
    );
  }
  const stored = await packPlanes(xor(base.bytes, result), DELTA_ENCODING);
  if (stored.size >= result.byteLength) return null;
  const info: DeltaInfo = {
    baseId: base.id,
    baseSha256: sha256Hex(base.bytes),
    resultSha256: sha256Hex(result),
    measuredRatio: result.byteLength / stored.size,
  };
  return { stored, info };
}

/** Puts the file together again; throws DELTA_INVALID or GZIP_INVALID unless base, blob and result are the right ones. */
export async function decodeDelta(base: DeltaBase, info: DeltaInfo, stored: Chunks): Promise<Chunk> {
  if (base.isDelta) throw deltaError(`The base ${base.id} is a delta itself.`);
  if (base.id !== info.baseId) throw deltaError(`The base is ${base.id}, not ${info.baseId}.`);
  if (sha256Hex(base.bytes) !== info.baseSha256) {
    throw deltaError(`The base ${base.id} is not what the delta was made from.`);
  }
  const difference = await unpackPlanes('The delta', base.bytes.byteLength, stored);
  const result = xor(base.bytes, difference);
  if (sha256Hex(result) !== info.resultSha256) throw deltaError('The delta does not give the right file.');
  return result;
}
