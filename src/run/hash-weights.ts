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

export interface HashOptions {
  /** The digest of one tensor as text; default its SHA-256 as hex, by the host's own code. */
  digest?: (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;
  /** Reading goes on while no more than so many bytes wait for their digests; default 256 MiB. */
  maxWaitingBytes?: number;
}

/** Hosts copy what they hash, so that a model that is read faster than it is hashed would be in memory twice. */
const MAX_WAITING_BYTES = 256 * 2 ** 20;

async function digestHex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const lineOf = ({ name, dtype, shape }: TensorInfo, digest: string): string =>
  `${name} ${dtype} [${shape.join(',')}] ${digest}`;

/** The same tensors; what is read of them is hashed on its way. */
export function hashedTensors(source: TensorSource, options: HashOptions = {}): HashedSource {
  const { digest = digestHex, maxWaitingBytes = MAX_WAITING_BYTES } = options;
  const lines = new Map<string, Promise<string>>();
  const waiting = new Set<{ bytes: number; done: Promise<unknown> }>();

  async function hash(info: TensorInfo, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    return lineOf(info, await digest(bytes));
  }

  const read = async (name: string): Promise<Uint8Array<ArrayBuffer>> => {
    const waitingBytes = (): number => [...waiting].reduce((sum, { bytes }) => sum + bytes, 0);
    while (waitingBytes() > maxWaitingBytes) await Promise.race([...waiting].map(({ done }) => done));
    const bytes = await source.read(name);
    const info = source.get(name);
    if (info === undefined || lines.has(name)) return bytes;
    const line = hash(info, bytes);
    lines.set(name, line);
    const entry = { bytes: bytes.byteLength, done: Promise.resolve() };
    entry.done = line.then(
      () => void waiting.delete(entry),
      () => void waiting.delete(entry),
    );
    waiting.add(entry);
    return bytes;
  };
  return {
    tensors: { list: () => source.list(), get: (name) => source.get(name), read },
    sha256: async () => sha256Hex((await Promise.all(lines.values())).sort().join('\n')),
  };
}
