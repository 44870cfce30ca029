/** A request's body on its way to the server: piece by piece, at the server's pace, up to a limit. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { RelayError } from './answers.ts';

export const tooLarge = (maxBytes: number): RelayError =>
  new RelayError(413, 'RELAY_BODY_TOO_LARGE', `The body is larger than ${String(maxBytes)} bytes.`);

/** Whether a request announces a body. */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/**
 * Copies the body and ends the request to the server. Rejects where it grows too large; stops where the server has answered
 * and gone. The caller's request is never destroyed here, as its connection carries the answer.
 */
export function upload(from: IncomingMessage, to: ClientRequest, maxBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let size = 0;
    let open = true;
    const resume = (): void => void from.resume();
    const stop = (): void => {
      open = false;
      to.off('drain', resume);
      // What still comes is thrown away, so that the answer gets through.
      from.resume();
      resolve();
    };
    from.on('data', (part: Buffer) => {
      size += part.byteLength;
      if (size > maxBytes) {
        open = false;
        to.destroy();
        reject(tooLarge(maxBytes));
      } else if (open && !to.write(part)) {
        from.pause();
        to.once('drain', resume);
      }
    });
    from.on('end', () => {
      if (open) to.end();
      resolve();
    });
    to.once('close', stop);
  });
}
