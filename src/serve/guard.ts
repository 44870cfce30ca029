/** Who may call: the names under which the server is addressed, the pages behind a call, and the key. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { HttpFailure } from './failure.ts';
import { isLoopback, type ServeOptions } from './options.ts';

/** The host of `Host`, without its port and the brackets of IPv6; null where it is none. */
export function hostName(header: string): string | null {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/.exec(header);
  return found === null ? null : (found[1] ?? found[2] ?? '').toLowerCase();
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Equal, in a time that does not depend on how much of it is. */
export const sameSecret = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

function keyOf(headers: IncomingHttpHeaders): string | null {
  const own = headers['x-api-key'];
  if (typeof own === 'string') return own;
  return /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? null;
}

export interface Guard {
  /** Throws 403 for a name or a page that is not known: a page on the network could otherwise reach loopback. */
  checkOrigin(headers: IncomingHttpHeaders): void;
  /** Throws 401 where a key is asked for and another, or none, was sent. */
  checkKey(headers: IncomingHttpHeaders): void;
}

export function createGuard(
  o: Pick<ServeOptions, 'host' | 'apiKey' | 'allowedHosts' | 'allowedOrigins'>,
): Guard {
  const names = new Set([o.host, ...o.allowedHosts].map((name) => name.toLowerCase()));
  if (isLoopback(o.host)) for (const name of ['localhost', '127.0.0.1', '::1']) names.add(name);
  const any = o.host === '0.0.0.0' || o.host === '::';
  return {
    checkOrigin: (headers) => {
      const name = hostName(headers.host ?? '');
      // Listening everywhere has no name of its own: then the key alone decides, but for loopback's names.
      if (name === null || !(names.has(name) || isLoopback(name) || (any && o.allowedHosts.length === 0))) {
        throw new HttpFailure(
          403,
          `The Host header is ${JSON.stringify((headers.host ?? '').slice(0, 100))}, which is not this server. Use --allow-host to let it be addressed so.`,
        );
      }
      const { origin } = headers;
      if (origin === undefined || o.allowedOrigins.includes(origin)) {
        if (origin !== undefined || headers['sec-fetch-site'] !== 'cross-site') return;
      }
      throw new HttpFailure(
        403,
        `Pages of ${JSON.stringify((origin ?? 'another site').slice(0, 100))} may not call this server.`,
      );
    },
    checkKey: (headers) => {
      if (o.apiKey === null) return;
      const key = keyOf(headers);
      if (key !== null && sameSecret(key, o.apiKey)) return;
      throw new HttpFailure(
        401,
        key === null
          ? 'This server asks for an API key in X-API-Key.'
          : 'The API key is not that of this server.',
        { 'WWW-Authenticate': 'Bearer' },
      );
    },
  };
}
