/** Helpers of the tests in this folder. */
import { StudioError } from '../errors.ts';

/** The code of the StudioError that `action` throws; 'no error' when it succeeds, other errors pass through. */
export async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof StudioError) return error.code;
    throw error;
  }
  return 'no error';
}

/** All chunks as one array. */
export async function collect(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
