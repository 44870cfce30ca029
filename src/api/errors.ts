/**
 * The errors of the programming interface. Each is a StudioError: the same `code`, `message` and `fix` that the page and
 * the command line show, with what a program needs besides: the request, the turn, and whether trying again can help.
 * Those that belong to an HTTP answer are here, those that are ours alone in own-errors.ts.
 */
import { StudioError, type ErrorCode } from '../errors.ts';

export interface ApiErrorFields {
  message: string;
  /** What the person can do about it, as a sentence. */
  fix?: string;
  /** Only where a class serves several codes. */
  code?: ErrorCode;
  requestId?: string | null;
  seqId?: number | null;
  retryable?: boolean;
  cause?: unknown;
}

/** What every error of the interface is. */
export class LorikeetError extends StudioError {
  readonly requestId: string | null;
  /** The turn of the call that failed, where it had one. */
  readonly seqId: number | null;
  /** Whether the same call can succeed when it is made again unchanged. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, fields: ApiErrorFields, defaults: { fix: string; retryable?: boolean }) {
    super(
      { code: fields.code ?? code, message: fields.message, fix: fields.fix ?? defaults.fix },
      fields.cause === undefined ? undefined : { cause: fields.cause },
    );
    this.name = new.target.name;
    this.requestId = fields.requestId ?? null;
    this.seqId = fields.seqId ?? null;
    this.retryable = fields.retryable ?? defaults.retryable ?? false;
  }
}

/** Its name in the family of Tinker clients. */
export const TinkerError = LorikeetError;

/** Anything that went wrong between this client and the engine or server that serves it. */
export class APIError extends LorikeetError {}

export interface StatusFields extends ApiErrorFields {
  /** The HTTP status; where no server is involved, the one that says the same. */
  status?: number;
  /** What the server answered, parsed where it was JSON. */
  body?: unknown;
}

/** A refusal that has an HTTP status. Locally the same classes stand for the same refusals. */
export class APIStatusError extends APIError {
  readonly status: number;
  readonly body: unknown;

  constructor(
    fields: StatusFields,
    code: ErrorCode = 'API_STATUS',
    defaults: { status: number; fix: string; retryable?: boolean } = {
      status: 0,
      fix: 'Read what the server answered, and change the request.',
    },
  ) {
    super(code, fields, defaults);
    this.status = fields.status ?? defaults.status;
    this.body = fields.body ?? null;
  }
}

/** 400: the arguments are wrong. Also what this client refuses before anything is sent. */
export class BadRequestError extends APIStatusError {
  constructor(fields: StatusFields, code: ErrorCode = 'API_BAD_REQUEST') {
    super(fields, code, { status: 400, fix: 'Change the arguments of the call.' });
  }
}

export class AuthenticationError extends APIStatusError {
  constructor(fields: StatusFields) {
    const fix = 'Set apiKey, or TINKER_API_KEY, to a key of this server.';
    super(fields, 'API_UNAUTHENTICATED', { status: 401, fix });
  }
}

export class PaymentRequiredError extends APIStatusError {
  constructor(fields: StatusFields) {
    const fix = 'Settle the billing with the service; with waitOnBilling: true the client waits for it.';
    super(fields, 'API_PAYMENT_REQUIRED', { status: 402, fix, retryable: true });
  }
}

export class PermissionDeniedError extends APIStatusError {
  constructor(fields: StatusFields) {
    super(fields, 'API_FORBIDDEN', { status: 403, fix: 'Use a key that may do this.' });
  }
}

export class NotFoundError extends APIStatusError {
  constructor(fields: StatusFields, code: ErrorCode = 'API_NOT_FOUND') {
    super(fields, code, { status: 404, fix: 'Check the name; list what is there.' });
  }
}

export class ConflictError extends APIStatusError {
  constructor(fields: StatusFields, code: ErrorCode = 'API_CONFLICT') {
    super(fields, code, { status: 409, fix: 'Use another name, or remove what is in the way.' });
  }
}

export class UnprocessableEntityError extends APIStatusError {
  constructor(fields: StatusFields) {
    const fix = 'Change the field that the message names.';
    super(fields, 'API_UNPROCESSABLE', { status: 422, fix });
  }
}

export class RateLimitError extends APIStatusError {
  constructor(fields: StatusFields, code: ErrorCode = 'API_RATE_LIMIT') {
    super(fields, code, { status: 429, fix: 'Send fewer requests at a time.', retryable: true });
  }
}

export class InternalServerError extends APIStatusError {
  constructor(fields: StatusFields) {
    const fix = 'Look into the log of the server; the request may have hit a fault there.';
    super(fields, 'API_SERVER_ERROR', { status: 500, fix });
  }
}

/** No answer: refused, cut off, or not reachable. */
export class APIConnectionError extends APIError {
  constructor(fields: ApiErrorFields, code: ErrorCode = 'API_CONNECTION') {
    const fix = 'Check that the server runs and that its address is right.';
    super(code, fields, { fix, retryable: true });
  }
}

/** The time that the caller gave has passed. The work goes on. */
export class APITimeoutError extends APIConnectionError {
  constructor(fields: ApiErrorFields) {
    const fix = 'Wait longer; the work itself was not cancelled.';
    super({ fix, ...fields }, 'API_TIMEOUT');
  }
}

/** An answer that is not what the protocol says. */
export class APIResponseValidationError extends APIError {
  constructor(fields: ApiErrorFields) {
    const fix = 'Check that the address is that of a server of the Tinker protocol.';
    super('API_RESPONSE_INVALID', fields, { fix });
  }
}

export type FailureCategory = 'unknown' | 'server' | 'user';

/** The request was accepted and failed later. */
export class RequestFailedError extends LorikeetError {
  readonly category: FailureCategory;

  constructor(fields: ApiErrorFields & { category?: FailureCategory }) {
    const fix =
      fields.category === 'user'
        ? 'Change the arguments of the call.'
        : 'Make the call again, or look into the log.';
    super('API_REQUEST_FAILED', fields, { fix });
    this.category = fields.category ?? 'unknown';
  }
}

/** The error class of an HTTP status. */
export function errorOfStatus(status: number, fields: Omit<StatusFields, 'status'>): APIStatusError {
  const all = { ...fields, status };
  switch (status) {
    case 400:
      return new BadRequestError(all);
    case 401:
      return new AuthenticationError(all);
    case 402:
      return new PaymentRequiredError(all);
    case 403:
      return new PermissionDeniedError(all);
    case 404:
      return new NotFoundError(all);
    case 409:
      return new ConflictError(all);
    case 422:
      return new UnprocessableEntityError(all);
    case 429:
      return new RateLimitError(all);
    default:
      return status >= 500 ? new InternalServerError(all) : new APIStatusError(all);
  }
}
