/** Who may ask: the Host header against DNS rebinding, one allowed origin, and the headers that let its pages read answers. */
import type { IncomingMessage } from 'node:http';
import { networkInterfaces } from 'node:os';
import { StudioError } from '../errors.ts';
import { refusal, type Refusal } from './answers.ts';
import { bareHost, isLoopbackHost } from './target.ts';

/** Reads an origin as browsers send it. Throws OPTION_INVALID. */
export function readOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url !== null &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    `${url.origin}/` === url.href
  ) {
    return url.origin;
  }
  throw new StudioError({
    code: 'OPTION_INVALID',
    message: `--allow-origin is ${JSON.stringify(text)}.`,
    fix: 'Use one origin, such as http://127.0.0.1:4173: scheme, host and port, no path, and no *.',
  });
}

/** Whether this relay is meant by a Host header. A name that someone else's DNS points here is not. */
export function isOwnHost(header: string | undefined, bound: string, port: number): boolean {
  if (header === undefined || !URL.canParse(`http://${header}`)) return false;
  const url = new URL(`http://${header}`);
  if (url.host !== header.toLowerCase().replace(/:80$/, '')) return false;
  if (Number(url.port === '' ? 80 : url.port) !== port) return false;
  const name = bareHost(url.hostname);
  if (isLoopbackHost(name)) return true;
  if (isLoopbackHost(bound)) return false;
  if (name === bareHost(bound).toLowerCase()) return true;
  // Bound to all: each address of this machine will do, as an address cannot be rebound.
  return (
    ['0.0.0.0', '::'].includes(bareHost(bound)) &&
    Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === name))
  );
}

/** Null where the request may go on. */
export function checkCaller(
  request: IncomingMessage,
  o: { bound: string; port: number; allowOrigin: string },
): Refusal | null {
  if (!isOwnHost(request.headers.host, o.bound, o.port)) {
    return refusal(403, 'RELAY_HOST_REFUSED', 'The Host header names another machine.');
  }
  // A page of this origin always sends it, as the relay is another origin; a request without one is not from there.
  if (request.headers.origin !== o.allowOrigin) {
    return refusal(
      403,
      'RELAY_ORIGIN_REFUSED',
      'The relay serves one origin, and the request is not from there.',
    );
  }
  return null;
}

const EXPOSED = 'Expires, Retry-After, Content-Length, Content-Disposition, Content-Range, Accept-Ranges';

/** Lets the page of the allowed origin read an answer. */
export const corsHeaders = (allowOrigin: string): Record<string, string> => ({
  'access-control-allow-origin': allowOrigin,
  'access-control-expose-headers': EXPOSED,
  vary: 'Origin',
});
