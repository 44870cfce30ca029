/** Tells whether two requests say the same: a hash over parsed values, whatever the order of their keys. */
import { createHash, type Hash } from 'node:crypto';

function add(hash: Hash, value: unknown): void {
  if (Array.isArray(value)) {
    hash.update(`[${String(value.length)}`);
    if (value.length > 0 && value.every((v) => typeof v === 'number')) {
      // Long lists of tokens and weights: as bytes.
      const numbers = Float64Array.from(value);
      hash.update('f').update(new Uint8Array(numbers.buffer));
    } else for (const entry of value) add(hash, entry);
    return;
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
    hash.update(`{${String(entries.length)}`);
    for (const [key, inner] of entries) {
      hash.update(`${String(key.length)}:${key}`);
      add(hash, inner);
    }
    return;
  }
  const text = String(value);
  hash.update(`${typeof value}${String(text.length)}:${text}`);
}

export function fingerprint(value: unknown): string {
  const hash = createHash('sha256');
  add(hash, value);
  return hash.digest('base64');
}
