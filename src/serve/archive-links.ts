/** Addresses of archives that are good for a while and for everyone who has them, as browsers and download tools need. */
import { createHmac, randomBytes } from 'node:crypto';
import { HttpFailure } from './failure.ts';
import { sameSecret } from './guard.ts';

export interface ArchiveLinks {
  /** Seconds since 1970, and the signature over it and the path. */
  sign(path: string): { expires: number; signature: string };
  /** Throws 403 where the signature is not ours or the time is over. */
  check(path: string, expires: string | undefined, signature: string | undefined): void;
}

export function createArchiveLinks(seconds: number, now: () => number = Date.now): ArchiveLinks {
  const secret = randomBytes(32);
  const signatureOf = (path: string, expires: string): string =>
    createHmac('sha256', secret).update(`${expires} ${path}`).digest('hex');
  return {
    sign: (path) => {
      const expires = Math.floor(now() / 1000 + seconds);
      return { expires, signature: signatureOf(path, String(expires)) };
    },
    check: (path, expires = '', signature = '') => {
      if (!/^\d{1,12}$/.test(expires) || !sameSecret(signature, signatureOf(path, expires)))
        throw new HttpFailure(
          403,
          'The address of the archive is not signed by this server; ask for it anew.',
        );
      if (Number(expires) * 1000 < now())
        throw new HttpFailure(403, 'The address of the archive has expired; ask for it anew.');
    },
  };
}
