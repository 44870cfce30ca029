/** Remembers the choice of kernels per GPU, in the browser's Cache storage: a worker has no other place for a few words. */
import type { TuningMemory } from '../src/run/tune-base.ts';

const CACHE_NAME = 'lorikeet-tuning-v1';

/** Never fetched; only the form that Cache storage asks its keys to have. */
const urlOf = (key: string): string => `https://lorikeet.invalid/${encodeURIComponent(key)}`;

export const tuningCache: TuningMemory = {
  get: async (key) => {
    try {
      const found = await (await caches.open(CACHE_NAME)).match(urlOf(key));
      return found === undefined ? null : await found.text();
    } catch {
      // A private window may have no storage: the choice is then made anew every time.
      return null;
    }
  },
  set: async (key, value) => {
    try {
      await (await caches.open(CACHE_NAME)).put(urlOf(key), new Response(value));
    } catch {
      // As above.
    }
  },
};
