/** The archive's redirect, which the relay follows itself: the address that it leads to has no CORS, and gets no key. */
import type { IncomingMessage } from 'node:http';
import { RelayError } from './answers.ts';

const MAX_TEXT = 64 * 1024;

export interface Next {
  url: URL;
  /** Until when the link holds, as the server said it. */
  expires: string | null;
}

const refused = (detail: string): RelayError => new RelayError(502, 'RELAY_REDIRECT_REFUSED', detail);

/** Checks where a server leads. Its address is never repeated: the query holds a signature. */
export function nextUrl(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) throw refused('The server redirects to what is no address.');
  const url = new URL(location, from.href);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused('The server redirects to an address that is neither http nor https.');
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    throw refused('The server redirects from https to http.');
  }
  if (url.username !== '' || url.password !== '')
    throw refused('The server redirects to an address with a user.');
  return url;
}

export const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

/** Reads an answer of a few words as text; null where it is longer. */
async function shortText(answer: IncomingMessage): Promise<string | null> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      size += part.byteLength;
      if (size > MAX_TEXT) return null;
      parts.push(part);
    }
  } catch {
    throw new RelayError(502, 'RELAY_TARGET_FAILED', 'The connection to the server broke.');
  }
  return Buffer.concat(parts).toString('utf8');
}

/**
 * Where the answer to a request for an archive leads: by a redirect, or by `{"url", "expires"}`. Text: an answer in JSON that
 * leads nowhere, already read. Null: the answer is the archive, or says that there is none.
 */
export async function leadsTo(answer: IncomingMessage, from: URL): Promise<Next | string | null> {
  const status = answer.statusCode ?? 0;
  if (isRedirect(status)) {
    const { location, expires } = answer.headers;
    answer.destroy();
    if (location === undefined) throw refused('The server redirects to nowhere.');
    return { url: nextUrl(location, from), expires: expires ?? null };
  }
  const type = answer.headers['content-type'] ?? '';
  const packed = answer.headers['content-encoding'] !== undefined;
  if (status !== 200 || packed || !type.startsWith('application/json')) return null;
  const text = await shortText(answer);
  if (text === null) throw refused('The server answers with a long text where an archive should be.');
  try {
    const body = JSON.parse(text) as { url?: unknown; expires?: unknown } | null;
    if (typeof body?.url !== 'string') return text;
    const expires = typeof body.expires === 'string' ? new Date(body.expires) : new Date(NaN);
    return {
      url: nextUrl(body.url, from),
      expires: Number.isNaN(expires.getTime()) ? null : expires.toUTCString(),
    };
  } catch (error) {
    if (error instanceof RelayError) throw error;
    return text;
  }
}
