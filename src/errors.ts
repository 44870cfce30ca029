/**
 * The one error class of the project, with its codes.
 * Knows nothing of hosts: the page, the worker and the command line all show `message` and `fix`.
 */

/** What can go wrong, by name. Add a code here before throwing it. */
export const ERROR_CODES = [
  // hosts and devices
  'GPU_UNAVAILABLE',
  'GPU_LIMIT',
  'GPU_ERROR',
  'GPU_LOST',
  'SHADER_INVALID',
  // files and formats
  'FILE_NOT_FOUND',
  'FILE_UNREADABLE',
  'FILE_WRITE_FAILED',
  'JSON_INVALID',
  'SAFETENSORS_INVALID',
  'TAR_INVALID',
  'GZIP_INVALID',
  'ARCHIVE_INVALID',
  'INPUT_TOO_LARGE',
  // models
  'MODEL_INCOMPLETE',
  'MODEL_UNSUPPORTED',
  'MODEL_INVALID',
  'WEIGHTS_INVALID',
  'TOKENIZER_MISSING',
  'TOKENIZER_INVALID',
  'TEMPLATE_MISSING',
  'TEMPLATE_INVALID',
  'TEMPLATE_REFUSED',
  'HUB_FAILED',
  // adapters
  'ADAPTER_INVALID',
  'ADAPTER_UNSUPPORTED',
  'ADAPTER_MISMATCH',
  // training state
  'TORCH_FILE_INVALID',
  'STATE_INCOMPLETE',
  'STATE_INVALID',
  'STATE_UNSUPPORTED',
  'DELTA_INVALID',
  'FORMAT_NEWER',
  'BASE_MISMATCH',
  'TOKENIZER_MISMATCH',
  'OPTIMIZER_MISMATCH',
  'DATA_MISMATCH',
  'RESUME_DIFFERS',
  // data
  'DATA_EMPTY',
  'DATA_FORMAT',
  'DATA_NOTHING_TRAINED',
  'DATA_INVALID',
  'DATA_TOO_LONG',
  // the store of checkpoints
  'STORE_FAILED',
  'STORE_FULL',
  'STORE_LOCKED',
  'STORE_DAMAGED',
  'STORE_NEWER',
  'RUN_NOT_FOUND',
  'CHECKPOINT_NAME',
  'CHECKPOINT_INVALID',
  'CHECKPOINT_EXISTS',
  'CHECKPOINT_NOT_FOUND',
  'CHECKPOINT_DAMAGED',
  'CHECKPOINT_PROTECTED',
  // the programming interface
  'CHECKPOINT_PATH',
  'MODEL_NAME',
  'NOT_PROMOTABLE',
  'API_BAD_REQUEST',
  'API_UNAUTHENTICATED',
  'API_PAYMENT_REQUIRED',
  'API_FORBIDDEN',
  'API_NOT_FOUND',
  'API_CONFLICT',
  'API_UNPROCESSABLE',
  'API_RATE_LIMIT',
  'API_SERVER_ERROR',
  'API_STATUS',
  'API_CONNECTION',
  'API_TIMEOUT',
  'API_RESPONSE_INVALID',
  'API_REQUEST_FAILED',
  'API_UNSUPPORTED',
  'API_PRECEDING_FAILED',
  'API_CLIENT_CLOSED',
  'API_QUEUE_FULL',
  // runs
  'OPTION_INVALID',
  'MEMORY_EXCEEDED',
  'LOSS_NOT_FINITE',
  'CANCELLED',
  'INTERNAL',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** The fields of an error as plain data: what crosses a worker boundary. */
export interface ErrorFields {
  code: ErrorCode;
  /** What is wrong: the fact and the value that was found. */
  message: string;
  /** What the person can do about it, as a sentence. */
  fix: string;
}

/**
 * An error that a person can act on: a stable code, the fact with its value, and the way out.
 * @example throw new StudioError({ code: 'DATA_EMPTY', message: 'rows.jsonl has no rows.', fix: 'Choose a file with at least one row.' })
 */
export class StudioError extends Error {
  readonly code: ErrorCode;
  readonly fix: string;

  constructor(fields: ErrorFields, options?: { cause?: unknown }) {
    super(fields.message, options);
    this.name = 'StudioError';
    this.code = fields.code;
    this.fix = fields.fix;
  }

  /** The plain fields, for structured cloning. */
  toFields(): ErrorFields {
    return { code: this.code, message: this.message, fix: this.fix };
  }
}

/** Turns anything thrown into fields; an unknown error becomes `INTERNAL` with its own message. */
export function toErrorFields(error: unknown): ErrorFields {
  if (error instanceof StudioError) return error.toFields();
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'INTERNAL', message, fix: 'This is a bug in Lorikeet. Please report it with this message.' };
}
