/** Hands one request on and its answer back, both as streams. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { COMMON_HEADERS, RelayError } from './answers.ts';
import { ask, type AskOptions } from './ask.ts';
import { redirectedHeaders, requestHeaders, responseHeaders, type Headers } from './headers.ts';
import { isArchivePath, type RelayPath } from './path.ts';
import { isRedirect, leadsTo } from './redirect.ts';
import type { Target } from './target.ts';
import { hasBody, tooLarge, upload } from './upload.ts';

export interface ForwardOptions {
  target: Target;
  apiKey: string | null;
  maxBodyBytes: number;
  connectSeconds: number;
  silentSeconds: number;
}

interface Found {
  answer: IncomingMessage;
  /** A body that was read already. */
  text: string | null;
  expires: string | null;
}

const MAX_HOPS = 5;

/** Follows an archive's redirects to the answer that is it. */
async function followed(first: IncomingMessage, from: URL, o: AskOptions, target: Target): Promise<Found> {
  let answer = first;
  let at = from;
  let expires: string | null = null;
  for (let hops = 0; ; hops++) {
    // Only the target's own answer may lead on by its text; what another host sends is the archive.
    const next = hops === 0 || isRedirect(answer.statusCode ?? 0) ? await leadsTo(answer, at) : null;
    if (next === null || typeof next === 'string') return { answer, text: next, expires };
    if (hops >= MAX_HOPS)
      throw new RelayError(502, 'RELAY_REDIRECT_REFUSED', 'The server redirects on and on.');
    const own = next.url.origin === target.origin;
    at = next.url;
    expires ??= next.expires;
    const asked = ask(at, {
      ...o,
      headers: own ? o.headers : redirectedHeaders(o.headers),
      farOnly: !own && !target.onThisMachine,
    });
    asked.request.end();
    answer = await asked.answer;
  }
}

/** Asks the server, and gives what it answers. */
async function find(
  request: IncomingMessage,
  path: RelayPath,
  headers: Headers,
  o: ForwardOptions,
  signal: AbortSignal,
): Promise<Found> {
  const method = request.method ?? 'GET';
  const url = new URL(o.target.origin + o.target.prefix + path.pathname + path.query);
  const { connectSeconds, silentSeconds, target } = o;
  const options: AskOptions = { method, headers, connectSeconds, silentSeconds, signal, farOnly: false };
  const asked = ask(url, options);
  if (hasBody(request)) {
    const sent = upload(request, asked.request, o.maxBodyBytes);
    // The answer may come before the body is all there.
    await Promise.race([asked.answer, sent.then(() => asked.answer)]);
    sent.catch(() => request.destroy());
  } else asked.request.end();
  const answer = await asked.answer;
  const status = answer.statusCode ?? 0;
  if (status < 200 || status > 599) {
    answer.destroy();
    throw new RelayError(502, 'RELAY_TARGET_FAILED', `The server answers with status ${String(status)}.`);
  }
  if ((method === 'GET' || method === 'HEAD') && isArchivePath(path)) {
    return followed(answer, url, options, target);
  }
  if (!isRedirect(status)) return { answer, text: null, expires: null };
  answer.destroy();
  throw new RelayError(
    502,
    'RELAY_REDIRECT_REFUSED',
    'The server redirects, which the relay follows for archives only.',
  );
}

/**
 * Answers the request with the server's answer.
 * Throws RelayError where there is none. An answer that breaks in the middle breaks the connection, so that nobody takes half
 * of it for all.
 */
export async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  path: RelayPath,
  cors: Headers,
  o: ForwardOptions,
): Promise<void> {
  const length = Number(request.headers['content-length'] ?? 0);
  if (length > o.maxBodyBytes) throw tooLarge(o.maxBodyBytes);
  if (hasBody(request) && ['GET', 'HEAD'].includes(request.method ?? '')) {
    throw new RelayError(400, 'RELAY_BODY_REFUSED', 'A request that reads has no body.');
  }
  const gone = new AbortController();
  const left = (): void => {
    if (!response.writableFinished) gone.abort();
  };
  response.once('close', left);
  if (request.headers.expect !== undefined) response.writeContinue();
  const headers = requestHeaders(request, path, o.apiKey);
  const { answer, text, expires } = await find(request, path, headers, o, gone.signal);
  const back = responseHeaders(answer.headers);
  if (expires !== null) back['expires'] ??= expires;
  if (text !== null) back['content-length'] = String(Buffer.byteLength(text));
  response.writeHead(answer.statusCode ?? 502, { ...COMMON_HEADERS, ...back, ...cors });
  if (text !== null) response.end(text);
  else await pipeline(answer, response);
}
