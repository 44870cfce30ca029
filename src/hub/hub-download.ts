/** One file from the Hub into the cache: in parts, going on where an earlier attempt stopped. */
import { fromStream } from '../formats/streams.ts';
import type { Bytes, HubCache } from './hub-cache.ts';
import { hubError, isConnectionError, PassingFailure, statusError, toHubError } from './hub-errors.ts';

/** What is written to the cache at once, and at most lost when the page is closed. */
const PART_BYTES = 4 * 2 ** 20;
const MAX_ATTEMPTS = 5;

export interface Download {
  /** For messages, such as `acme/model/model.safetensors`. */
  what: string;
  url: string;
  size: number;
  /** The commit that the answer must belong to, where it says so. */
  commit: string;
  key: string;
  cache: HubCache;
  fetch: typeof fetch;
  token: string | undefined;
  signal: AbortSignal | undefined;
  /** Waits before attempt 2; later ones wait twice as long each. */
  retryDelayMs: number;
  onBytes: (received: number) => void;
}

async function request(download: Download, offset: number): Promise<Response> {
  const headers: Record<string, string> = {};
  if (download.token !== undefined) headers['Authorization'] = `Bearer ${download.token}`;
  if (offset > 0) headers['Range'] = `bytes=${String(offset)}-`;
  const response = await download.fetch(download.url, { headers, signal: download.signal ?? null });
  if (response.status === 429 || response.status >= 500) {
    throw new PassingFailure(`status ${String(response.status)}`);
  }
  if (!response.ok && response.status !== 416) throw statusError(download.what, response.status);
  const commit = response.headers.get('x-repo-commit');
  if (commit !== null && commit !== download.commit) {
    throw hubError(
      `${download.what} belongs to another revision than the rest of the model (${commit.slice(0, 12)}).`,
      'The model was changed meanwhile. Try again.',
    );
  }
  return response;
}

/** Whether the answer starts at `offset` of a file of the expected size. */
function startsAt(response: Response, offset: number, size: number): boolean {
  if (response.status === 200) return offset === 0;
  return (
    response.headers.get('content-range') === `bytes ${String(offset)}-${String(size - 1)}/${String(size)}`
  );
}

/** Collects small chunks and writes them to the cache in parts. */
class PartWriter {
  readonly #download: Download;
  #offset: number;
  #part: Bytes = new Uint8Array(PART_BYTES);
  #filled = 0;

  constructor(download: Download, offset: number) {
    this.#download = download;
    this.#offset = offset;
  }

  get received(): number {
    return this.#offset + this.#filled;
  }

  async add(chunk: Bytes): Promise<void> {
    for (let at = 0; at < chunk.byteLength;) {
      const piece = chunk.subarray(at, at + PART_BYTES - this.#filled);
      this.#part.set(piece, this.#filled);
      this.#filled += piece.byteLength;
      at += piece.byteLength;
      if (this.#filled === PART_BYTES) await this.flush();
    }
  }

  async flush(): Promise<void> {
    if (this.#filled === 0) return;
    const { cache, key } = this.#download;
    await cache.append(key, this.#offset, this.#part.slice(0, this.#filled));
    this.#offset += this.#filled;
    this.#filled = 0;
  }
}

/** One request; stores what arrives even when the connection breaks, then throws. */
async function attempt(download: Download): Promise<void> {
  const { cache, key, size } = download;
  let offset = await cache.length(key);
  if (offset > size) {
    await cache.remove(key);
    offset = 0;
  }
  if (offset === size) return;
  let response = await request(download, offset);
  if (!startsAt(response, offset, size) && offset > 0) {
    // The server cannot go on from the middle: from the start, then.
    await response.body?.cancel();
    await cache.remove(key);
    offset = 0;
    response = await request(download, offset);
  }
  if (!startsAt(response, offset, size) || response.body === null) {
    throw hubError(`The Hub sent an unexpected answer for ${download.what}.`, 'Try again later.');
  }
  const writer = new PartWriter(download, offset);
  try {
    for await (const chunk of fromStream(response.body)) {
      if (writer.received + chunk.byteLength > size) {
        throw hubError(`${download.what} is longer than the Hub said.`, 'Try again later.');
      }
      await writer.add(chunk);
      download.onBytes(writer.received);
    }
  } finally {
    await writer.flush();
  }
  if (writer.received < size) throw new PassingFailure('the connection ended too early');
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new DOMException('aborted', 'AbortError'));
    });
  });
}

/** Downloads into the cache; retries what may pass, and keeps what has arrived whatever happens. */
export async function downloadToCache(download: Download): Promise<void> {
  const { cache, key } = download;
  for (let failures = 0; ;) {
    const before = await cache.length(key);
    try {
      await attempt(download);
      return;
    } catch (error) {
      if (!isConnectionError(error)) throw toHubError(download.what, error, download.signal);
      if (download.signal?.aborted === true) throw toHubError(download.what, error, download.signal);
      // A connection that brings something each time may break as often as it likes.
      failures = (await cache.length(key)) > before ? 1 : failures + 1;
      if (failures >= MAX_ATTEMPTS) throw toHubError(download.what, error, download.signal);
    }
    await wait(download.retryDelayMs * 2 ** (failures - 1), download.signal).catch((error: unknown) => {
      throw toHubError(download.what, error, download.signal);
    });
  }
}
