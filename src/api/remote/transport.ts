/** One HTTP request, one answer: headers, time limits, size limits, and which failures may be tried again. */
import { joinBytes } from '../../formats/bytes.ts';
import { backoffSeconds, sleep } from '../backoff.ts';
import { APIConnectionError, APIResponseValidationError } from '../errors.ts';
import { errorOfReply, redact, type Reply } from './answer.ts';
import type { Timing } from './timing.ts';

export interface TransportOptions {
  baseUrl: string;
  apiKey: string | null;
  fetch: typeof globalThis.fetch;
  timing: Timing;
  /** Waits for the billing to be settled instead of throwing PaymentRequiredError. */
  waitOnBilling: boolean;
}

export interface Request {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below /api/v1/. */
  path: string;
  json?: unknown;
  protobuf?: Uint8Array;
  accept?: string;
  headers?: Record<string, string>;
  timeoutSeconds?: number;
  signal?: AbortSignal | undefined;
}

/** Which failures are tried again. */
export type RetryMode =
  /** All that may pass: the same request twice does no harm. */
  | 'safe'
  /** Only what certainly was not taken. */
  | 'refused-only'
  | 'none';

export interface RetryOptions {
  mode: RetryMode;
  /** Seconds from now, or attempts, after which it gives up; the default is a number of attempts. */
  withinSeconds?: number;
  seqId?: number;
}

/** The connection failed. `sent`: the server may have the request. */
export class LostConnection extends APIConnectionError {
  readonly sent: boolean;
  constructor(message: string, sent: boolean, cause: unknown) {
    super({ message, cause });
    this.name = 'APIConnectionError';
    this.sent = sent;
  }
}

/** Answers larger than this are refused, so that a broken server cannot fill the memory. */
const MAX_ANSWER = 512 * 2 ** 20;
/** Codes of Node's network errors that say that no connection was made. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

export interface Transport {
  readonly counters: Record<'requests' | 'retries' | 'connectionErrors', number>;
  readonly baseUrl: string;
  /** From now on what this gives is sent as the key; a request that brings a key of its own keeps it. */
  authenticate(credential: () => Promise<string>): void;
  /** One attempt. Any status is an answer; throws LostConnection, or the signal's reason. */
  send(request: Request): Promise<Reply>;
  /** With retries. Throws the error of the last answer. */
  request(request: Request, retry: RetryOptions): Promise<Reply>;
  /** An attempt whose answer is a stream. */
  open(
    url: string,
    o: { headers?: Record<string, string>; signal?: AbortSignal | undefined; redirect?: 'manual' | 'follow' },
  ): Promise<Response>;
}

async function readLimited(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let size = 0;
  if (response.body !== null) {
    for await (const part of response.body as AsyncIterable<Uint8Array>) {
      size += part.byteLength;
      if (size > MAX_ANSWER)
        throw new APIResponseValidationError({ message: 'The answer is larger than 512 MiB.' });
      parts.push(part);
    }
  }
  return joinBytes(parts);
}

async function toReply(response: Response): Promise<Reply> {
  const bytes = await readLimited(response);
  const type = response.headers.get('content-type') ?? '';
  const { status, headers } = response;
  if (type.includes('protobuf')) return { status, headers, body: null, protobuf: bytes };
  const text = new TextDecoder().decode(bytes);
  if (text === '') return { status, headers, body: null, protobuf: null };
  try {
    return { status, headers, body: JSON.parse(text) as unknown, protobuf: null };
  } catch {
    return { status, headers, body: text, protobuf: null };
  }
}

const errorCode = (error: unknown): string => {
  const cause =
    error instanceof Error
      ? (error.cause as { code?: unknown; errors?: { code?: unknown }[] } | undefined)
      : undefined;
  const code = cause?.code ?? cause?.errors?.[0]?.code;
  return typeof code === 'string' ? code : '';
};

const retryAfter = (headers: Headers): number | null => {
  const seconds = Number(headers.get('retry-after') ?? NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 300) : null;
};

function mayRetry(reply: Reply, mode: RetryMode): boolean {
  if (mode === 'none') return false;
  // 425 and 429 say that nothing was taken; so does 503 where a server is starting or full.
  if (reply.status === 429 || reply.status === 425 || reply.status === 503) return true;
  // A relay that found nobody: the server has not seen the request.
  if ((reply.body as { code?: unknown } | null)?.code === 'RELAY_TARGET_UNREACHABLE') return true;
  // A bare 500 is a fault in the server that the same request meets again.
  return mode === 'safe' && [408, 502, 504].includes(reply.status);
}

export function createTransport(o: TransportOptions): Transport {
  const { timing } = o;
  const baseUrl = o.baseUrl.replace(/\/+$/, '');
  const counters = { requests: 0, retries: 0, connectionErrors: 0 };
  // Servers of this family drop a kept-alive connection after a fault; time to notice, before it is used again.
  let pauseUntil = 0;
  let credential: () => Promise<string | null> = () => Promise.resolve(o.apiKey);

  const open: Transport['open'] = async (url, { headers = {}, signal, redirect = 'follow' }) => {
    counters.requests += 1;
    const own = url.startsWith(`${baseUrl}/`);
    const key = own ? await credential() : null;
    const all = key === null ? headers : { 'X-API-Key': key, ...headers };
    try {
      return await o.fetch(url, { headers: all, redirect, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      signal?.throwIfAborted();
      counters.connectionErrors += 1;
      throw new LostConnection(
        `${redact(url)} cannot be reached (${errorCode(error) || String((error as Error).message)}).`,
        false,
        error,
      );
    }
  };

  const send: Transport['send'] = async (request) => {
    const {
      method,
      path,
      json,
      protobuf,
      accept = 'application/json',
      timeoutSeconds = timing.requestSeconds,
    } = request;
    const wait = pauseUntil - Date.now();
    if (wait > 0) await sleep(wait / 1000, request.signal);
    counters.requests += 1;
    const headers: Record<string, string> = { Accept: accept, ...request.headers };
    if (headers['X-API-Key'] === undefined) {
      const key = await credential();
      if (key !== null) headers['X-API-Key'] = key;
    }
    const init: RequestInit = { method, headers };
    if (protobuf !== undefined) {
      headers['Content-Type'] = 'application/x-protobuf';
      init.body = protobuf as Uint8Array<ArrayBuffer>;
    } else if (json !== undefined) {
      headers['Content-Type'] = 'application/json';
      init.body = JSON.stringify(json);
    }
    const timeout = AbortSignal.timeout(Math.ceil(timeoutSeconds * 1000));
    init.signal = request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout]);
    try {
      const reply = await toReply(await o.fetch(`${baseUrl}/api/v1/${path}`, init));
      if (reply.status >= 500) pauseUntil = Date.now() + 50;
      return reply;
    } catch (error) {
      if (error instanceof APIResponseValidationError) throw error;
      request.signal?.throwIfAborted();
      counters.connectionErrors += 1;
      if (timeout.aborted) {
        throw new LostConnection(
          `${method} ${path} was not answered within ${String(timeoutSeconds)} s.`,
          true,
          error,
        );
      }
      const code = errorCode(error);
      const words = code || String(error instanceof Error ? error.message : error);
      throw new LostConnection(
        `${baseUrl} cannot be reached for ${method} ${path} (${redact(words)}).`,
        !NEVER_SENT.has(code),
        error,
      );
    }
  };

  const request: Transport['request'] = async (what, { mode, withinSeconds, seqId }) => {
    const from = Date.now();
    const billingUntil = from + timing.billingSeconds * 1000;
    const keyed =
      what.method === 'GET'
        ? what
        : { ...what, headers: { 'X-Idempotency-Key': crypto.randomUUID(), ...what.headers } };
    const most = withinSeconds === undefined ? timing.maxBackoff : timing.maxSubmitBackoff;
    for (let failures = 0; ; failures++) {
      let wait: number | null = null;
      let error: Error;
      try {
        const reply = await send(keyed);
        if (reply.status < 400) return reply;
        error = errorOfReply(`${what.method} ${what.path}`, reply, seqId === undefined ? {} : { seqId });
        if (reply.status === 402 && o.waitOnBilling && Date.now() < billingUntil) {
          await sleep(timing.billingPollSeconds, what.signal);
          failures -= 1;
          continue;
        }
        if (!mayRetry(reply, mode)) throw error;
        wait = retryAfter(reply.headers);
      } catch (caught) {
        if (!(caught instanceof LostConnection)) throw caught;
        error = caught;
        if (mode === 'none' || (mode === 'refused-only' && caught.sent)) throw caught;
      }
      const seconds = wait ?? backoffSeconds(failures, { first: timing.firstBackoff, most });
      const over =
        withinSeconds === undefined
          ? failures + 1 >= timing.attempts
          : Date.now() + seconds * 1000 > from + withinSeconds * 1000;
      if (over) throw error;
      counters.retries += 1;
      await sleep(seconds, what.signal);
    }
  };

  const authenticate: Transport['authenticate'] = (given) => {
    credential = given;
  };
  return { counters, baseUrl, authenticate, send, request, open };
}
