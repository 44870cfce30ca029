/** Every way the Hub can fail, as an error that says what to do. */
import { HubApiError } from '@huggingface/hub';
import { StudioError } from '../errors.ts';

/** A failure that may pass by itself: a dropped connection, an overloaded server. */
export class PassingFailure extends Error {}

export function hubError(message: string, fix: string, cause?: unknown): StudioError {
  return new StudioError({ code: 'HUB_FAILED', message, fix }, { cause });
}

/** The error of an HTTP status for `what` (a model or one of its files). */
export function statusError(what: string, status: number, cause?: unknown): StudioError {
  if (status === 401 || status === 403) {
    return hubError(
      `The Hub gives no access to ${what} (status ${String(status)}).`,
      'Check the name. For a private or gated model, accept its terms on its page and give an access token.',
      cause,
    );
  }
  if (status === 404) {
    return hubError(
      `The Hub has no ${what} (status 404).`,
      'Check the name and the revision; for a private model, give an access token.',
      cause,
    );
  }
  if (status === 429) {
    return hubError(
      `The Hub answers too many requests for ${what} (status 429).`,
      'Wait a few minutes and try again.',
      cause,
    );
  }
  return hubError(`The Hub failed for ${what} (status ${String(status)}).`, 'Try again later.', cause);
}

/** Whether an error came from the connection rather than from an answer of the server. */
export function isConnectionError(error: unknown): boolean {
  return (
    error instanceof PassingFailure ||
    (!(error instanceof StudioError) && !(error instanceof HubApiError) && error instanceof TypeError)
  );
}

/** Turns anything thrown while talking to the Hub into an error that a person can act on. */
export function toHubError(what: string, error: unknown, signal?: AbortSignal): StudioError {
  if (error instanceof StudioError) return error;
  if (signal?.aborted === true) {
    return new StudioError(
      {
        code: 'CANCELLED',
        message: `The download of ${what} was cancelled.`,
        fix: 'Start it again; it goes on where it stopped.',
      },
      { cause: error },
    );
  }
  if (error instanceof HubApiError) return statusError(what, error.statusCode, error);
  const detail = error instanceof Error ? error.message : String(error);
  return hubError(
    `The Hub could not be reached for ${what} (${detail}).`,
    'Check the connection and try again. What was downloaded is kept.',
    error,
  );
}
