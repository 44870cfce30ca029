/** A request that was accepted and failed later, as the interface's own error where the server says which one it is. */
import { RequestFailedError, type FailureCategory, type LorikeetError } from '../errors.ts';
import {
  BaseModelMismatchError,
  CheckpointExistsError,
  CheckpointNotFoundError,
  DeviceLostError,
  FormatVersionError,
  LoraConfigMismatchError,
  OptimizerMismatchError,
  OptimizerStateMissingError,
  PrecedingOperationFailedError,
  type MismatchFields,
} from '../own-errors.ts';
import { wordsOf } from './answer.ts';
import type { Json } from './wire-read.ts';

export interface FailureIds {
  requestId: string;
  seqId: number | null;
}

const categoryOf = (value: unknown): FailureCategory =>
  value === 'server' || value === 'user' ? value : 'unknown';

const MISMATCHES: Readonly<Record<string, new (fields: MismatchFields) => LorikeetError>> = {
  BASE_MISMATCH: BaseModelMismatchError,
  ADAPTER_MISMATCH: LoraConfigMismatchError,
  OPTIMIZER_MISMATCH: OptimizerMismatchError,
  STATE_INCOMPLETE: OptimizerStateMissingError,
  FORMAT_NEWER: FormatVersionError,
};

const OTHERS: Readonly<Record<string, new (fields: FailureIds & { message: string }) => LorikeetError>> = {
  CHECKPOINT_NOT_FOUND: CheckpointNotFoundError,
  CHECKPOINT_EXISTS: CheckpointExistsError,
  API_PRECEDING_FAILED: PrecedingOperationFailedError,
  GPU_LOST: DeviceLostError,
};

/** `code` is what `lorikeet serve` adds to `error` and `category`; other servers leave it out. */
export function failureOf(what: string, body: Json, ids: FailureIds): LorikeetError {
  const message = `${what} failed: ${wordsOf(body)}`;
  const code = typeof body['code'] === 'string' ? body['code'] : '';
  const Mismatch = Object.hasOwn(MISMATCHES, code) ? MISMATCHES[code] : undefined;
  if (Mismatch !== undefined) {
    const field = typeof body['field'] === 'string' ? body['field'] : 'checkpoint';
    const { expected = null, actual = null } = body;
    return new Mismatch({ message, field, expected, actual, ...ids });
  }
  const Other = Object.hasOwn(OTHERS, code) ? OTHERS[code] : undefined;
  if (Other !== undefined) return new Other({ message, ...ids });
  return new RequestFailedError({ message, category: categoryOf(body['category']), ...ids });
}
