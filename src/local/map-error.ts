/** The engine's and the store's errors as those of the programming interface: the same code, message and fix, in its classes. */
import { BadRequestError, ConflictError, LorikeetError, NotFoundError } from '../api/errors.ts';
import {
  CheckpointCorruptError,
  CheckpointExistsError,
  CheckpointNotFoundError,
  DeviceLostError,
  MISMATCHES,
  StorageFullError,
  UnsupportedAdapterError,
} from '../api/own-errors.ts';
import { StudioError } from '../errors.ts';

/** An error of another code keeps it. */
class EngineError extends LorikeetError {
  constructor(error: StudioError) {
    super(error.code, { message: error.message, fix: error.fix, cause: error }, { fix: error.fix });
  }
}

/** The same failure in the interface's classes. What is no StudioError stays as it is. */
export function mapError(error: unknown): unknown {
  if (!(error instanceof StudioError) || error instanceof LorikeetError) return error;
  const { message, fix, code } = error;
  const fields = { message, fix, cause: error };
  const mismatch = { ...fields, field: 'checkpoint', expected: null, actual: null };
  switch (code) {
    case 'RUN_NOT_FOUND':
    case 'FILE_NOT_FOUND':
    case 'HUB_FAILED':
      return new NotFoundError(fields, code);
    case 'CHECKPOINT_NOT_FOUND':
      return new CheckpointNotFoundError(fields);
    case 'CHECKPOINT_EXISTS':
      return new CheckpointExistsError(fields);
    case 'CHECKPOINT_DAMAGED':
    case 'ARCHIVE_INVALID':
    case 'STATE_INVALID':
    case 'DELTA_INVALID':
      return new CheckpointCorruptError({ ...fields, path: '', files: [] });
    case 'STORE_LOCKED':
    case 'CHECKPOINT_PROTECTED':
      return new ConflictError(fields, code);
    case 'STORE_FULL':
      return new StorageFullError({ ...fields, neededBytes: NaN, freeBytes: NaN });
    case 'TOKENIZER_MISMATCH':
      return new MISMATCHES.BASE_MISMATCH(mismatch);
    case 'BASE_MISMATCH':
    case 'ADAPTER_MISMATCH':
    case 'OPTIMIZER_MISMATCH':
    case 'STATE_INCOMPLETE':
    case 'FORMAT_NEWER':
      return new MISMATCHES[code](mismatch);
    case 'ADAPTER_UNSUPPORTED':
      return new UnsupportedAdapterError(fields);
    case 'GPU_LOST':
      return new DeviceLostError(fields);
    case 'DATA_EMPTY':
    case 'DATA_INVALID':
    case 'DATA_TOO_LONG':
    case 'OPTION_INVALID':
    case 'CHECKPOINT_NAME':
    case 'CHECKPOINT_INVALID':
      return new BadRequestError(fields, code);
    default:
      return new EngineError(error);
  }
}

/** Runs work, and rejects with the interface's errors. */
export async function mapped<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw mapError(error);
  }
}
