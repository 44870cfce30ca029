/** Between the two shapes of a byte stream: async iterables inside this folder, ReadableStream at its edges. */
import type { ByteSource } from './bytes.ts';
import { CHUNK_BYTES } from './file-entry.ts';

export type Chunk = Uint8Array<ArrayBuffer>;
export type Chunks = Iterable<Chunk> | AsyncIterable<Chunk>;

/** A stream that takes the next chunk only when its reader wants one. */
export function toStream(chunks: Chunks): ReadableStream<Chunk> {
  const iterator =
    Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  return new ReadableStream<Chunk>(
    {
      pull: async (controller) => {
        const next = await iterator.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: async () => {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

/** The chunks of a stream; leaving the loop early cancels the stream. Not every browser iterates streams itself. */
export async function* fromStream(stream: ReadableStream<Chunk>): AsyncGenerator<Chunk, void, undefined> {
  const reader = stream.getReader();
  let finished = false;
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) {
        finished = true;
        return;
      }
      yield next.value;
    }
  } finally {
    // A stream that failed by itself rejects here as well; its own error is the one that counts.
    if (!finished) await reader.cancel().catch(() => undefined);
  }
}

/** The bytes of a source from the start, piece by piece. */
export async function* sourceChunks(source: ByteSource): AsyncGenerator<Chunk, void, undefined> {
  for (let at = 0; at < source.size; at += CHUNK_BYTES) {
    yield await source.read(at, Math.min(at + CHUNK_BYTES, source.size));
  }
}

async function* inSmallPieces(chunks: Chunks, pieceBytes: number): AsyncGenerator<Chunk, void, undefined> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength; at += pieceBytes) yield chunk.subarray(at, at + pieceBytes);
  }
}

/** Lets a producer go on only while its consumer waits. */
class Gate {
  #open = false;
  #closed = false;
  #wake: (() => void) | null = null;

  /** Resolves once the consumer waits; false when it has left for good. */
  async pass(): Promise<boolean> {
    if (!this.#open && !this.#closed) await new Promise<void>((resolve) => (this.#wake = resolve));
    return !this.#closed;
  }

  set(open: boolean): void {
    this.#open = open;
    if (open) this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }
}

/**
 * Runs chunks through a codec of the host, in pieces, and feeds it only while its output is wanted and used up.
 * `pipeThrough` would not do: Node's codecs accept 16384 chunks on either side before they ask the writer to wait.
 */
export async function* transformed(
  codec: { readable: ReadableStream<Chunk>; writable: WritableStream<BufferSource> },
  chunks: Chunks,
  pieceBytes: number,
): AsyncGenerator<Chunk, void, undefined> {
  const writer = codec.writable.getWriter();
  const reader = codec.readable.getReader();
  const gate = new Gate();
  const feed = async (): Promise<void> => {
    try {
      for await (const piece of inSmallPieces(chunks, pieceBytes)) {
        if (!(await gate.pass())) return;
        await writer.write(piece);
      }
      await writer.close();
    } catch (error) {
      await writer.abort(error).catch(() => undefined);
    }
  };
  const feeding = feed();
  try {
    for (;;) {
      const read = reader.read();
      let settled = false;
      const settle = (): void => {
        settled = true;
      };
      read.then(settle, settle);
      // A read that finds a chunk waiting is settled two microtasks from now; any other waits for more input.
      await Promise.resolve();
      await Promise.resolve();
      gate.set(!settled);
      const next = await read;
      gate.set(false);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    gate.close();
    await reader.cancel().catch(() => undefined);
    await feeding;
  }
}
