/** Ids that sort by time. Time and randomness are handed in, so that nothing here is hidden state. */
import { StudioError } from '../errors.ts';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** A ULID from a time in milliseconds and ten random bytes, 26 characters. */
export function ulid(timeMs: number, random: Uint8Array): string {
  if (!Number.isSafeInteger(timeMs) || timeMs < 0 || timeMs >= 2 ** 48 || random.byteLength !== 10) {
    throw new StudioError({
      code: 'INTERNAL',
      message: `An id cannot be made from the time ${String(timeMs)} and ${String(random.byteLength)} bytes.`,
      fix: 'This is a bug in Lorikeet. Please report it with this message.',
    });
  }
  let value = BigInt(timeMs);
  for (const byte of random) value = (value << 8n) | BigInt(byte);
  let text = '';
  for (let i = 0; i < 26; i++) {
    text = (ALPHABET[Number(value & 31n)] ?? '') + text;
    value >>= 5n;
  }
  return text;
}

/** Whether a text has the form of a ULID. */
export function isUlid(text: string): boolean {
  return /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text);
}
