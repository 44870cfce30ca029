/** A request that was accepted and failed later, as the interface's own error where the server says which one it is. */
import { RequestFailedError, type FailureCategory, type LorikeetError } from '../errors.ts';
import {
  CheckpointExistsError,
  CheckpointNotFoundError,
  DeviceLostError,
  MISMATCHES,
  PrecedingOperationFailedError,
} from '../own-errors.ts';
import { wordsOf } from './answer.ts';
import type { Json } from './wire-read.ts';

export interface FailureIds {
  requestId: string;
  seqId: number | null;
}

const categoryOf = (value: unknown): FailureCategory =>
  value === 'server' || value === 'user' ? value : 'unknown';

const OTHERS: Readonly<Record<string, new (fields: FailureIds & { message: string }) => LorikeetError>> = {
  CHECKPOINT_NOT_FOUND: CheckpointNotFoundError,
  CHECKPOINT_EXISTS: CheckpointExistsError,
  API_PRECEDING_FAILED: PrecedingOperationFailedError,
  GPU_LOST: DeviceLostError,
};

const isMismatch = (code: string): code is keyof typeof MISMATCHES => Object.hasOwn(MISMATCHES, code);

/** `code` is what `lorikeet serve` adds to `error` and `category`; other servers leave it out. */
export function failureOf(what: string, body: Json, ids: FailureIds): LorikeetError {
  const message = `${what} failed: ${wordsOf(body)}`;
  const code = typeof body['code'] === 'string' ? body['code'] : '';
  if (isMismatch(code)) {
    const Mismatch = MISMATCHES[code];
    const field = typeof body['field'] === 'string' ? body['field'] : 'checkpoint';
    const { expected = null, actual = null } = body;
    return new Mismatch({ message, field, expected, actual, ...ids });
  }
  const Other = Object.hasOwn(OTHERS, code) ? OTHERS[code] : undefined;
  if (Other !== undefined) return new Other({ message, ...ids });
  return new RequestFailedError({ message, category: categoryOf(body['category']), ...ids });
}
