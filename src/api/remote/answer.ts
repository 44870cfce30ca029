/** What a server answered, in words and as an error. Keys and signed addresses never reach a message. */
import { APIResponseValidationError, errorOfStatus, type APIStatusError } from '../errors.ts';

export interface Reply {
  status: number;
  headers: Headers;
  /** Parsed where the answer is JSON, else the text; null where there was none. */
  body: unknown;
  /** The bytes of an answer in protobuf. */
  protobuf: Uint8Array | null;
}

const MAX_WORDS = 500;

/** Queries of addresses hold signatures, keys begin with `tml-` or are JWTs. */
export const redact = (text: string): string =>
  text
    .replace(/(https?:\/\/[^\s"'?]+)\?[^\s"']*/g, '$1?…')
    .replace(/\btml-[A-Za-z0-9_-]+/g, 'tml-…')
    .replace(/\beyJ[A-Za-z0-9_.-]{10,}/g, 'eyJ…');

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** One entry of a validation error: `forward_backward_input.loss_fn: Input should be …`. */
function entryWords(entry: unknown): string {
  if (!isRecord(entry)) return String(entry);
  const path = Array.isArray(entry['loc']) ? entry['loc'].filter((part) => part !== 'body').join('.') : '';
  const words = typeof entry['msg'] === 'string' ? entry['msg'] : JSON.stringify(entry);
  return path === '' ? words : `${path}: ${words}`;
}

/** What an error body says. */
export function wordsOf(body: unknown): string {
  const detail = isRecord(body) ? (body['detail'] ?? body['error'] ?? body['message'] ?? body) : body;
  const words =
    typeof detail === 'string'
      ? detail
      : Array.isArray(detail)
        ? detail.map(entryWords).join('; ')
        : detail === null || detail === undefined
          ? 'no explanation'
          : JSON.stringify(detail);
  const clean = redact(words.replace(/\s+/g, ' ').trim());
  return clean.length > MAX_WORDS ? `${clean.slice(0, MAX_WORDS)}…` : clean;
}

/** The error of an answer that is none of success. */
export function errorOfReply(
  what: string,
  reply: Reply,
  more: { requestId?: string | null; seqId?: number | null; retryable?: boolean } = {},
): APIStatusError {
  const message = `${what}: the server answered ${String(reply.status)}, ${wordsOf(reply.body)}.`;
  return errorOfStatus(reply.status, { message: message.replace(/\.\.$/, '.'), body: reply.body, ...more });
}

/** The body as an object. Throws APIResponseValidationError. */
export function recordOf(what: string, reply: Reply): Record<string, unknown> {
  if (isRecord(reply.body)) return reply.body;
  throw invalidAnswer(what, `is ${describe(reply.body)}, not an object`);
}

export const invalidAnswer = (what: string, why: string): APIResponseValidationError =>
  new APIResponseValidationError({ message: `The answer to ${what} ${why}.` });

function describe(body: unknown): string {
  if (body === null || body === undefined) return 'empty';
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return redact(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
