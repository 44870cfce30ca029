/** The errors that the family's other clients do not have: paths, names, checkpoints that do not fit, and what is not done. */
import type { ErrorCode } from '../errors.ts';
import {
  APIError,
  BadRequestError,
  ConflictError,
  LorikeetError,
  NotFoundError,
  type ApiErrorFields,
  type StatusFields,
} from './errors.ts';

/** A text that is no checkpoint path. */
export class InvalidCheckpointPathError extends BadRequestError {
  constructor(fields: StatusFields) {
    const fix = 'Write it as lorikeet://<run>/weights/<name> or lorikeet://<run>/sampler_weights/<name>.';
    super({ fix, ...fields }, 'CHECKPOINT_PATH');
  }
}

/** A checkpoint name that this backend does not take, with a spelling that it would. */
export class InvalidCheckpointNameError extends BadRequestError {
  readonly suggestion: string;

  constructor(fields: StatusFields & { suggestion: string }) {
    super({ fix: `Use a name such as "${fields.suggestion}".`, ...fields }, 'CHECKPOINT_NAME');
    this.suggestion = fields.suggestion;
  }
}

/** A model name that promotion does not take; `errors` holds one sentence for each rule it breaks. */
export class OutputModelIdError extends BadRequestError {
  readonly errors: readonly string[];

  constructor(fields: StatusFields & { errors: readonly string[] }) {
    super({ fix: 'Use 1 to 63 of a-z, 0-9 and "-".', ...fields }, 'MODEL_NAME');
    this.errors = fields.errors;
  }
}

export class CheckpointNotFoundError extends NotFoundError {
  constructor(fields: StatusFields) {
    super(
      { fix: 'List the checkpoints of the run, and use a path from there.', ...fields },
      'CHECKPOINT_NOT_FOUND',
    );
  }
}

export class CheckpointExistsError extends ConflictError {
  constructor(fields: StatusFields) {
    super({ fix: 'Use another name, or save with overwrite: true.', ...fields }, 'CHECKPOINT_EXISTS');
  }
}

export interface MismatchFields extends ApiErrorFields {
  /** What does not fit, such as `rank`. */
  field: string;
  expected: unknown;
  actual: unknown;
}

/** A checkpoint that does not fit the client it is loaded into. Nothing was changed. */
export class IncompatibleCheckpointError extends LorikeetError {
  readonly field: string;
  readonly expected: unknown;
  readonly actual: unknown;

  constructor(fields: MismatchFields, code: ErrorCode = 'ADAPTER_MISMATCH') {
    super(code, fields, { fix: 'Load it into a client with the settings of the checkpoint.' });
    this.field = fields.field;
    this.expected = fields.expected;
    this.actual = fields.actual;
  }
}

export class BaseModelMismatchError extends IncompatibleCheckpointError {
  constructor(fields: MismatchFields) {
    super(
      { fix: 'Checkpoints of different base models never mix: use the model it was trained on.', ...fields },
      'BASE_MISMATCH',
    );
  }
}

export class LoraConfigMismatchError extends IncompatibleCheckpointError {
  constructor(fields: MismatchFields) {
    super(fields, 'ADAPTER_MISMATCH');
  }
}

export class OptimizerMismatchError extends IncompatibleCheckpointError {
  constructor(fields: MismatchFields) {
    super({ fix: 'Load the weights alone with loadState.', ...fields }, 'OPTIMIZER_MISMATCH');
  }
}

/** The checkpoint has no moments. A cold optimizer is never started silently. */
export class OptimizerStateMissingError extends IncompatibleCheckpointError {
  constructor(fields: MismatchFields) {
    super(
      { fix: 'Load the weights alone with loadState, which starts the optimizer afresh.', ...fields },
      'STATE_INCOMPLETE',
    );
  }
}

export class FormatVersionError extends IncompatibleCheckpointError {
  constructor(fields: MismatchFields) {
    super({ fix: 'Update Lorikeet.', ...fields }, 'FORMAT_NEWER');
  }
}

/** What a checkpoint that does not fit is refused with, by the code of the reason. */
export const MISMATCHES = {
  BASE_MISMATCH: BaseModelMismatchError,
  ADAPTER_MISMATCH: LoraConfigMismatchError,
  OPTIMIZER_MISMATCH: OptimizerMismatchError,
  STATE_INCOMPLETE: OptimizerStateMissingError,
  FORMAT_NEWER: FormatVersionError,
} as const satisfies Partial<Record<ErrorCode, new (fields: MismatchFields) => LorikeetError>>;

export class CheckpointCorruptError extends LorikeetError {
  readonly path: string;
  readonly files: readonly string[];

  constructor(fields: ApiErrorFields & { path: string; files: readonly string[] }) {
    super('CHECKPOINT_DAMAGED', fields, { fix: 'Load an older checkpoint of the run.' });
    this.path = fields.path;
    this.files = fields.files;
  }
}

export class NotPromotableError extends LorikeetError {
  constructor(fields: ApiErrorFields) {
    super('NOT_PROMOTABLE', fields, {
      fix: 'Save sampler weights from it with saveWeightsForSampler, and promote those.',
    });
  }
}

export class StorageFullError extends LorikeetError {
  readonly neededBytes: number;
  readonly freeBytes: number;

  constructor(fields: ApiErrorFields & { neededBytes: number; freeBytes: number }) {
    super('STORE_FULL', fields, { fix: 'Delete checkpoints that are no longer needed, and save again.' });
    this.neededBytes = fields.neededBytes;
    this.freeBytes = fields.freeBytes;
  }
}

/** Something that this backend does not do, by name. */
export class UnsupportedFeatureError extends LorikeetError {
  readonly feature: string;
  readonly backend: string;

  constructor(fields: Omit<ApiErrorFields, 'message'> & { feature: string; backend: string; why?: string }) {
    const why = fields.why === undefined ? '' : `: ${fields.why}`;
    const message = `${fields.backend} does not support ${fields.feature}${why}.`;
    super('API_UNSUPPORTED', { ...fields, message }, { fix: 'Ask capabilities() what it can do instead.' });
    this.feature = fields.feature;
    this.backend = fields.backend;
  }
}

export class UnsupportedAdapterError extends LorikeetError {
  constructor(fields: ApiErrorFields) {
    super('ADAPTER_UNSUPPORTED', fields, { fix: 'Use a plain LoRA adapter.' });
  }
}

/** The GPU or the worker is gone, and with it whatever was not saved. */
export class DeviceLostError extends LorikeetError {
  constructor(fields: ApiErrorFields) {
    super('GPU_LOST', fields, {
      fix: 'Start again from the last checkpoint; RecoveryPolicy does so by itself.',
    });
  }
}

/** The call was not carried out because one before it, on which it depends, has failed. */
export class PrecedingOperationFailedError extends LorikeetError {
  constructor(fields: ApiErrorFields) {
    super('API_PRECEDING_FAILED', fields, {
      fix: 'Look at the error of the call before it, and make both again.',
    });
  }
}

export class ClientClosedError extends APIError {
  constructor(fields: ApiErrorFields) {
    super('API_CLIENT_CLOSED', fields, { fix: 'Make a new client.' });
  }
}

/** More calls wait than a client keeps. Nothing was queued. */
export class QueueFullError extends LorikeetError {
  constructor(fields: ApiErrorFields) {
    super('API_QUEUE_FULL', fields, {
      fix: 'Await some of the results before calling again.',
      retryable: true,
    });
  }
}
