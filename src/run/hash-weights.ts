/** The identity of a model's weights: of the tensors that compute, however they are spread over files. */
import { sha256Hex } from '../formats/sha256.ts';
import type { TensorInfo, TensorSource } from '../formats/tensors.ts';

export interface HashedSource {
  tensors: TensorSource;
  /**
   * SHA-256 over a line `name dtype shape digest` for each tensor that was read, sorted. Resolves once all digests are
   * made; the host makes them beside the loading.
   */
  sha256(): Promise<string>;
}

async function line({ name, dtype, shape }: TensorInfo, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${name} ${dtype} [${shape.join(',')}] ${hex}`;
}

/** The same tensors; what is read of them is hashed on its way. */
export function hashedTensors(source: TensorSource): HashedSource {
  const lines = new Map<string, Promise<string>>();
  const read = async (name: string): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = await source.read(name);
    const info = source.get(name);
    if (info !== undefined && !lines.has(name)) lines.set(name, line(info, bytes));
    return bytes;
  };
  return {
    tensors: { list: () => source.list(), get: (name) => source.get(name), read },
    sha256: async () => sha256Hex((await Promise.all(lines.values())).sort().join('\n')),
  };
}
