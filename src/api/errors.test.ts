import { describe, expect, it } from 'vitest';
import { StudioError, toErrorFields } from '../errors.ts';
import {
  APIConnectionError,
  APIError,
  APIStatusError,
  APITimeoutError,
  BadRequestError,
  errorOfStatus,
  LorikeetError,
  TinkerError,
} from './errors.ts';
import * as own from './own-errors.ts';

describe('the errors of the interface', () => {
  it('are StudioErrors with a code, a fact and a fix', () => {
    const error = new own.LoraConfigMismatchError({
      message: 'The checkpoint has rank 8, the client rank 4.',
      field: 'rank',
      expected: 4,
      actual: 8,
    });
    expect(error).toBeInstanceOf(StudioError);
    expect(error).toBeInstanceOf(TinkerError);
    expect(toErrorFields(error)).toEqual({
      code: 'ADAPTER_MISMATCH',
      message: 'The checkpoint has rank 8, the client rank 4.',
      fix: 'Load it into a client with the settings of the checkpoint.',
    });
    expect(error).toMatchObject({ name: 'LoraConfigMismatchError', field: 'rank', retryable: false });
  });

  it.each([
    [400, 'BadRequestError', 'API_BAD_REQUEST'],
    [401, 'AuthenticationError', 'API_UNAUTHENTICATED'],
    [402, 'PaymentRequiredError', 'API_PAYMENT_REQUIRED'],
    [403, 'PermissionDeniedError', 'API_FORBIDDEN'],
    [404, 'NotFoundError', 'API_NOT_FOUND'],
    [409, 'ConflictError', 'API_CONFLICT'],
    [418, 'APIStatusError', 'API_STATUS'],
    [422, 'UnprocessableEntityError', 'API_UNPROCESSABLE'],
    [429, 'RateLimitError', 'API_RATE_LIMIT'],
    [500, 'InternalServerError', 'API_SERVER_ERROR'],
    [503, 'InternalServerError', 'API_SERVER_ERROR'],
  ])('names HTTP %i %s', (status, name, code) => {
    const error = errorOfStatus(status, {
      message: 'No.',
      body: { detail: 'No.' },
      requestId: '7',
      seqId: 3,
    });
    expect(error).toMatchObject({ name, code, status, requestId: '7', seqId: 3, body: { detail: 'No.' } });
    expect(error).toBeInstanceOf(APIStatusError);
  });

  it('keeps the family of each class', () => {
    expect(new APITimeoutError({ message: 'x' })).toBeInstanceOf(APIConnectionError);
    expect(new own.ClientClosedError({ message: 'x' })).toBeInstanceOf(APIError);
    expect(new own.InvalidCheckpointPathError({ message: 'x' })).toBeInstanceOf(BadRequestError);
    expect(new own.CheckpointExistsError({ message: 'x' })).toMatchObject({
      status: 409,
      code: 'CHECKPOINT_EXISTS',
    });
    expect(new own.CheckpointNotFoundError({ message: 'x' })).toMatchObject({ status: 404 });
    const mismatch = { message: 'x', field: 'optimizer', expected: 'adamw', actual: null };
    expect(new own.OptimizerStateMissingError(mismatch)).toBeInstanceOf(own.IncompatibleCheckpointError);
    expect(new own.UnsupportedFeatureError({ feature: 'dro', backend: 'SkyRL' }).message).toBe(
      'SkyRL does not support dro.',
    );
    expect(new LorikeetError('INTERNAL', { message: 'x' }, { fix: 'y' }).requestId).toBeNull();
  });
});
