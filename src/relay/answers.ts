/** What the relay itself says: refusals and failures as JSON, in the form of the servers it stands before. */
import type { ServerResponse } from 'node:http';

/** Why the relay did not hand a request on, or has no answer for it. */
export type RelayCode =
  | 'RELAY_HOST_REFUSED'
  | 'RELAY_ORIGIN_REFUSED'
  | 'RELAY_PATH_REFUSED'
  | 'RELAY_METHOD_REFUSED'
  | 'RELAY_BODY_REFUSED'
  | 'RELAY_BODY_TOO_LARGE'
  /** No connection was made: the server has not seen the request. */
  | 'RELAY_TARGET_UNREACHABLE'
  /** The connection broke, or what came over it is no HTTP. */
  | 'RELAY_TARGET_FAILED'
  | 'RELAY_TARGET_SILENT'
  | 'RELAY_REDIRECT_REFUSED'
  | 'RELAY_INTERNAL';

export interface Refusal {
  status: number;
  code: RelayCode;
  detail: string;
}

export const refusal = (status: number, code: RelayCode, detail: string): Refusal => ({
  status,
  code,
  detail,
});

/** A refusal on its way to the person who asked. */
export class RelayError extends Error {
  readonly refusal: Refusal;
  constructor(status: number, code: RelayCode, detail: string) {
    super(detail);
    this.name = 'RelayError';
    this.refusal = refusal(status, code, detail);
  }
}

/** Headers of every answer: nothing is kept, and nothing is taken for a page. */
export const COMMON_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const;

export const jsonHeaders = (text: string): Record<string, string> => ({
  ...COMMON_HEADERS,
  'content-type': 'application/json',
  'content-length': String(Buffer.byteLength(text)),
});

/** Answers with JSON and is done with the request. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { ...jsonHeaders(text), ...headers });
  response.end(text);
}
