/** What went wrong, as an HTTP answer or as the outcome of a request that was accepted before. */
import { z } from 'zod';
import {
  APIResponseValidationError,
  APIStatusError,
  type FailureCategory,
  LorikeetError,
} from '../api/errors.ts';
import {
  ClientClosedError,
  IncompatibleCheckpointError,
  PrecedingOperationFailedError,
  QueueFullError,
  UnsupportedFeatureError,
} from '../api/own-errors.ts';
import { StudioError, toErrorFields, type ErrorCode } from '../errors.ts';
import { json, type Reply } from './reply.ts';

/** A refusal with its status. */
export class HttpFailure extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = 'HttpFailure';
    this.status = status;
    this.headers = headers;
  }
}

/** Codes of refusals whose class tells no status. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  FILE_NOT_FOUND: 404,
  RUN_NOT_FOUND: 404,
  CHECKPOINT_NOT_FOUND: 404,
  HUB_FAILED: 404,
  STORE_LOCKED: 409,
  STORE_FULL: 507,
  INTERNAL: 500,
  GPU_LOST: 500,
  GPU_ERROR: 500,
  GPU_UNAVAILABLE: 500,
  STORE_FAILED: 500,
};

/** The status that says what an error means. */
export function statusOf(error: unknown): number {
  if (error instanceof HttpFailure) return error.status;
  if (error instanceof APIStatusError && error.status >= 400) return error.status;
  if (error instanceof z.ZodError) return 422;
  if (error instanceof QueueFullError) return 429;
  if (error instanceof ClientClosedError) return 410;
  if (error instanceof UnsupportedFeatureError) return 400;
  // A body whose protobuf is broken: the reader is the one that clients use for answers.
  if (error instanceof APIResponseValidationError) return 400;
  if (error instanceof StudioError) return STATUS[error.code] ?? 400;
  return 500;
}

/** Where in the body a value is wrong, as the family's servers say it. */
const detailOf = (error: z.ZodError): unknown =>
  error.issues.slice(0, 20).map(({ path, message, code }) => ({
    loc: ['body', ...path.map((part) => (typeof part === 'symbol' ? String(part) : part))],
    msg: message,
    type: code,
  }));

const sentence = (message: string, fix: string): string => `${message} ${fix}`.trim();

/** The answer to a request that failed. What is no refusal of ours says no more than that it failed. */
export function failureReply(error: unknown, log: (line: string) => void): Reply {
  const status = statusOf(error);
  if (error instanceof HttpFailure) return json({ detail: error.message }, status, error.headers);
  if (error instanceof z.ZodError) return json({ detail: detailOf(error) }, status);
  if (error instanceof StudioError) {
    const { code, message, fix } = error;
    return json({ detail: sentence(message, fix), code }, status);
  }
  log(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return json({ detail: 'The server failed at this request; its terminal says why.' }, 500);
}

export interface FailedBody {
  error: string;
  category: FailureCategory;
  code: string;
  fix: string;
  field?: string;
  expected?: unknown;
  actual?: unknown;
}

/** What a future gives that has failed. */
export function failedBody(error: unknown): FailedBody {
  if (error instanceof z.ZodError) {
    const words = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    return { error: words, category: 'user', code: 'API_UNPROCESSABLE', fix: 'Change the request.' };
  }
  const status = statusOf(error);
  if (error instanceof HttpFailure) {
    return {
      error: error.message,
      category: status < 500 ? 'user' : 'server',
      code: status === 404 ? 'API_NOT_FOUND' : 'API_BAD_REQUEST',
      fix: 'Change the request.',
    };
  }
  const { code, message, fix } = toErrorFields(error);
  const body: FailedBody = {
    error: error instanceof LorikeetError || error instanceof StudioError ? sentence(message, fix) : message,
    category: status < 500 || error instanceof PrecedingOperationFailedError ? 'user' : 'server',
    code,
    fix,
  };
  if (error instanceof IncompatibleCheckpointError) {
    const { field, expected, actual } = error;
    return { ...body, field, expected, actual };
  }
  return body;
}
