/** A place for the archives of checkpoints that are seldom needed: a bucket, a folder on another disk. Programs bring it. */
import { joinBytes } from '../formats/bytes.ts';

export interface ColdStore {
  /** Keeps the bytes under the key, in place of what was there. All of them are kept when it resolves, or none. */
  put(key: string, body: ReadableStream<Uint8Array>): Promise<void>;
  /** Null where there is nothing under the key. */
  get(key: string): Promise<ReadableStream<Uint8Array> | null>;
  /** What is not there is deleted already. */
  delete(key: string): Promise<void>;
  /** The keys that begin with the prefix, in any order. */
  list(prefix: string): Promise<string[]>;
}

export const streamOf = (bytes: Uint8Array): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });

/** All bytes of a stream. Throws RangeError where they are more than `most`. */
export async function bytesOf(stream: ReadableStream<Uint8Array>, most = Infinity): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream as unknown as AsyncIterable<Uint8Array>) {
    size += part.byteLength;
    if (size > most) throw new RangeError(`There are more than ${String(most)} bytes.`);
    parts.push(part);
  }
  return joinBytes(parts);
}

/** A cold store in memory, for as long as the program lives. */
export function memoryColdStore(): ColdStore & { readonly kept: ReadonlyMap<string, Uint8Array> } {
  const kept = new Map<string, Uint8Array>();
  return {
    kept,
    put: async (key, body) => void kept.set(key, await bytesOf(body)),
    get: (key) => {
      const bytes = kept.get(key);
      return Promise.resolve(bytes === undefined ? null : streamOf(bytes));
    },
    delete: (key) => {
      kept.delete(key);
      return Promise.resolve();
    },
    list: (prefix) => Promise.resolve([...kept.keys()].filter((key) => key.startsWith(prefix))),
  };
}
