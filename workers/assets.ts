/** Files that ship with the studio: models and data sets beside the page. */
import { StudioError } from '../src/errors.ts';

/** Where the page lies: one folder above the worker, in development (`workers/`) and in the build (`assets/`). */
const HOME = new URL('..', self.location.href);

/** Fetches a file by its path beside the page, or below another address. */
export async function fetchAsset(path: string, home: URL = HOME): Promise<Response> {
  const problem = (detail: string, cause?: unknown): StudioError =>
    new StudioError(
      {
        code: 'FILE_NOT_FOUND',
        message: `The studio's own file ${path} could not be loaded (${detail}).`,
        fix: 'Check that the studio is still being served, then load the page again.',
      },
      { cause },
    );
  let response: Response;
  try {
    response = await fetch(new URL(path, home));
  } catch (cause) {
    throw problem('no connection', cause);
  }
  if (!response.ok) throw problem(`status ${String(response.status)}`);
  return response;
}

/** The whole content of a file beside the page; tells how many bytes have arrived. */
export async function fetchBlob(
  path: string,
  onBytes: (bytes: number) => void,
  home: URL = HOME,
): Promise<Blob> {
  const response = await fetchAsset(path, home);
  if (response.body === null) return response.blob();
  let received = 0;
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        onBytes((received += chunk.byteLength));
        controller.enqueue(chunk);
      },
    }),
  );
  return new Response(counted).blob();
}
