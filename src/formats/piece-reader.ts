/** A stream of chunks in pieces of wanted sizes. Memory is taken for bytes that have arrived, not for those a file claims. */
import { StudioError } from '../errors.ts';

const FIRST_BYTES = 2 ** 24;

/** Memory for `size` bytes of `what`. Throws INPUT_TOO_LARGE where the host has none. */
function allocate(size: number, what: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(size);
  } catch (cause) {
    throw new StudioError(
      {
        code: 'INPUT_TOO_LARGE',
        message: `${what} needs ${String(size)} bytes in one piece, more than there is memory for.`,
        fix: 'Close other programs and try again, or check that this is the right file.',
      },
      { cause },
    );
  }
}

export class PieceReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #endError: () => Error;
  #rest: Uint8Array = new Uint8Array(0);

  /** `endError` makes the error for a stream that ends within a piece. */
  constructor(chunks: AsyncIterable<Uint8Array>, endError: () => Error) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#endError = endError;
  }

  /**
   * The next `size` bytes, as an array that owns its memory. A small file may claim gigabytes, so a large piece is
   * filled in steps, each up to four times as large as the last; throws before the next step where the stream ends.
   */
  async take(size: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    let bytes = allocate(Math.min(size, FIRST_BYTES), what);
    await this.#fill(bytes);
    while (bytes.byteLength < size) {
      const larger = allocate(Math.min(size, 4 * bytes.byteLength), what);
      larger.set(bytes);
      await this.#fill(larger.subarray(bytes.byteLength));
      bytes = larger;
    }
    return bytes;
  }

  async #fill(target: Uint8Array): Promise<void> {
    let at = 0;
    while (at < target.byteLength) {
      if (this.#rest.byteLength === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) throw this.#endError();
        this.#rest = next.value;
        continue;
      }
      const part = this.#rest.subarray(0, target.byteLength - at);
      target.set(part, at);
      at += part.byteLength;
      this.#rest = this.#rest.subarray(part.byteLength);
    }
  }

  /** Reads on to the end, so that whoever feeds the stream sees all of it consumed. */
  async finish(): Promise<void> {
    let next = await this.#chunks.next();
    while (next.done !== true) next = await this.#chunks.next();
  }
}
