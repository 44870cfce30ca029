/** Downloads archives: streamed, with progress, resumed where they broke off, checked where a hash is known. */
import { joinBytes } from '../formats/bytes.ts';
import { Sha256 } from '../formats/sha256.ts';
import { backoffSeconds, sleep } from './backoff.ts';
import type { BackendRegistry, Download } from './backend.ts';
import { APIConnectionError, APIResponseValidationError, APIStatusError } from './errors.ts';
import { CheckpointCorruptError } from './own-errors.ts';
import type { ParsedCheckpointPath } from './paths.ts';

/** Takes bytes in order. `restart` throws away what came, where a download cannot be resumed. */
export interface DownloadSink {
  write(bytes: Uint8Array): void | Promise<void>;
  restart?(): void | Promise<void>;
}

export interface DownloadOptions {
  sink?: DownloadSink;
  onProgress?: (doneBytes: number, totalBytes: number | null) => void;
  signal?: AbortSignal;
  /** Goes on after a broken connection; true unless said otherwise. */
  resume?: boolean;
  format?: 'tar.gz' | 'tar' | 'zip';
  layout?: 'peft' | 'bios' | 'tinker';
}

export interface DownloadResult {
  fileName: string;
  sizeBytes: number;
  sha256: string;
  /** The archive, where there was no sink. */
  bytes?: Uint8Array;
}

const ATTEMPTS = 8;
/** Without a sink the archive is kept in memory, up to this. */
const MAX_IN_MEMORY = 2 ** 30;

function memorySink(): { sink: DownloadSink; take: () => Uint8Array } {
  let parts: Uint8Array[] = [];
  let size = 0;
  return {
    sink: {
      write: (bytes) => {
        size += bytes.byteLength;
        if (size > MAX_IN_MEMORY) {
          throw new APIResponseValidationError({
            message: 'The archive is larger than 1 GiB, too large to keep in memory.',
            fix: 'Download it to a file: give a sink.',
          });
        }
        parts.push(bytes.slice());
      },
      restart: () => {
        parts = [];
        size = 0;
      },
    },
    take: () => joinBytes(parts),
  };
}

const canRetry = (error: unknown): boolean =>
  error instanceof APIConnectionError ||
  (error instanceof APIStatusError && error.status >= 500) ||
  error instanceof TypeError;

/** Downloads a checkpoint. Throws CheckpointCorruptError where size or hash are not those that were announced. */
export async function downloadArchive(
  registry: BackendRegistry,
  path: ParsedCheckpointPath,
  options: DownloadOptions,
): Promise<DownloadResult> {
  const { signal, onProgress, resume = true } = options;
  const memory = options.sink === undefined ? memorySink() : null;
  const sink = options.sink ?? memory?.sink;
  if (sink === undefined) throw new RangeError('There is a sink or there is memory.');
  let hash = new Sha256();
  let done = 0;
  let download: Download | null = null;
  for (let failures = 0; ;) {
    try {
      const request = { from: done, format: options.format ?? null, layout: options.layout ?? null };
      download = await registry.download(path, signal === undefined ? request : { ...request, signal });
      if (download.from !== done) {
        if (sink.restart === undefined) {
          throw new APIResponseValidationError({
            message: 'The server cannot resume, and the sink cannot start again.',
          });
        }
        await sink.restart();
        hash = new Sha256();
        done = 0;
      }
      for await (const bytes of download.body) {
        signal?.throwIfAborted();
        await sink.write(bytes);
        hash.update(bytes);
        done += bytes.byteLength;
        failures = 0;
        onProgress?.(done, download.totalBytes);
      }
      if (download.totalBytes === null || done >= download.totalBytes) break;
      throw new APIConnectionError({
        message: `The download ended after ${String(done)} of ${String(download.totalBytes)} bytes.`,
      });
    } catch (error) {
      signal?.throwIfAborted();
      failures += 1;
      if (!resume || failures >= ATTEMPTS || !canRetry(error)) {
        if (!(error instanceof TypeError)) throw error;
        throw new APIConnectionError({
          message: `The download broke off after ${String(done)} bytes: ${error.message}.`,
          cause: error,
        });
      }
      await sleep(backoffSeconds(failures - 1, { first: 0.5, most: 30 }), signal);
    }
  }
  const sha256 = hash.hex();
  const wrong =
    download.totalBytes !== null && done !== download.totalBytes
      ? 'size'
      : download.sha256 !== null && download.sha256 !== sha256
        ? 'hash'
        : null;
  if (wrong !== null) {
    throw new CheckpointCorruptError({
      message: `The archive of ${path.path} has another ${wrong} than announced.`,
      path: path.path,
      files: [download.fileName],
    });
  }
  const result: DownloadResult = { fileName: download.fileName, sizeBytes: done, sha256 };
  if (memory !== null) result.bytes = memory.take();
  return result;
}
