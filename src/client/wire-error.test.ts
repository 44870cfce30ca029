import { describe, expect, it } from 'vitest';
import { StudioError } from '../errors.ts';
import { readWireError } from './wire-error.ts';

const fields = { code: 'DATA_EMPTY', message: 'a.jsonl has no rows.', fix: 'Choose another.' } as const;

describe('readWireError', () => {
  it('takes the fields out of the message', () => {
    expect(readWireError(new Error(JSON.stringify(fields)))).toEqual(fields);
    expect(readWireError(new StudioError(fields))).toEqual(fields);
  });

  it.each([
    'plain words',
    '{not json',
    '{"code":"NO_SUCH","message":"m","fix":"f"}',
    '{"code":"DATA_EMPTY"}',
  ])('keeps %j as an unknown error', (message) => {
    expect(readWireError(new Error(message))).toMatchObject({ code: 'INTERNAL', message });
  });
});
