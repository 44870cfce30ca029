/**
 * Short-lived tokens in place of the key, where the server's config asks for them: the key is exchanged at auth/token, and
 * the token is exchanged again shortly before it expires.
 */
import { APIResponseValidationError, AuthenticationError } from '../errors.ts';

/** A token with less than this left is exchanged before it is sent. */
const REFRESH_SECONDS = 60;
/** How long one is used that does not say when it expires, or that could not be exchanged. */
const RETRY_SECONDS = 60;

/** Seconds since 1970 at which a token expires, as it says itself; null where it does not. Signatures are the server's. */
export function expiryOf(token: string): number | null {
  try {
    const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as { exp?: unknown } | null;
    return typeof claims?.exp === 'number' && Number.isFinite(claims.exp) ? claims.exp : null;
  } catch {
    return null;
  }
}

export interface TokenOptions {
  /** Exchanges the key for a token. */
  exchange: () => Promise<unknown>;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * Gives the token to send, which is exchanged when it is time, once for all who ask meanwhile. While an exchange fails, a
 * token that has not expired is used on. Rejects where there is none.
 */
export function createAuthToken({ exchange, now = Date.now }: TokenOptions): () => Promise<string> {
  let token: string | null = null;
  let expires = 0;
  let useUntil = 0;
  let coming: Promise<string> | null = null;

  const renew = async (): Promise<string> => {
    try {
      const given = await exchange();
      if (typeof given !== 'string' || given === '') {
        throw new APIResponseValidationError({ message: 'The answer to auth/token has no jwt.' });
      }
      token = given;
      expires = expiryOf(given) ?? now() / 1000 + RETRY_SECONDS + REFRESH_SECONDS;
      useUntil = expires - REFRESH_SECONDS;
      return given;
    } catch (error) {
      // A key that was taken back stays refused.
      if (token === null || now() / 1000 >= expires || error instanceof AuthenticationError) throw error;
      useUntil = Math.min(expires, now() / 1000 + RETRY_SECONDS);
      return token;
    }
  };

  return () => {
    if (token !== null && now() / 1000 < useUntil) return Promise.resolve(token);
    coming ??= renew().finally(() => {
      coming = null;
    });
    return coming;
  };
}
