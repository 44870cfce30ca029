/**
 * Hub downloads in the browser's Cache storage: each part is one entry, and a small record says which parts belong
 * together. A part is counted only after it is stored, so a closed tab costs at most the last one.
 */
import { StudioError } from '../errors.ts';
import type { HubCache } from './hub-cache.ts';

const CACHE_NAME = 'lorikeet-hub-v1';
/** Never fetched; only the form that Cache storage asks its keys to have. */
const BASE = 'https://lorikeet.invalid/';

function failed(error: unknown): StudioError {
  const full = error instanceof Error && error.name === 'QuotaExceededError';
  const detail = error instanceof Error ? error.message : String(error);
  return new StudioError(
    {
      code: 'FILE_WRITE_FAILED',
      message: `The download could not be stored in the browser (${full ? 'its storage is full' : detail}).`,
      fix: full
        ? 'Free some space in the browser and try again; what has arrived is kept.'
        : 'Reload the page and try again. In a private window, use a normal one.',
    },
    { cause: error },
  );
}

/** A cache in the browser; works in pages and in workers. */
export function browserHubCache(name = CACHE_NAME): HubCache {
  const opened = (): Promise<Cache> => caches.open(name);
  const recordUrl = (key: string): string => `${BASE}${key}?parts`;
  const partUrl = (key: string, offset: number): string => `${BASE}${key}?from=${String(offset)}`;

  const put = async (url: string, body: BodyInit): Promise<void> => {
    try {
      await (await opened()).put(url, new Response(body));
    } catch (error) {
      throw failed(error);
    }
  };
  const readText = async (url: string): Promise<string | null> => {
    const response = await (await opened()).match(url);
    return response === undefined ? null : response.text();
  };
  /** The sizes of the parts, in order. */
  const partsOf = async (key: string): Promise<number[]> => {
    const record = await readText(recordUrl(key));
    // Our own record, written below.
    return record === null ? [] : (JSON.parse(record) as number[]);
  };
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);

  return {
    readText: (key) => readText(BASE + key),
    writeText: (key, text) => put(BASE + key, text),
    length: async (key) => sum(await partsOf(key)),
    append: async (key, offset, bytes) => {
      const parts = await partsOf(key);
      if (sum(parts) !== offset) throw failed(new Error('another tab is downloading it'));
      await put(partUrl(key, offset), bytes);
      await put(recordUrl(key), JSON.stringify([...parts, bytes.byteLength]));
    },
    source: async (key, fileName) => {
      const sizes = await partsOf(key);
      let end = 0;
      const parts = sizes.map((size) => ({ start: end, end: (end += size) }));
      const read = async (from: number, to: number): Promise<Uint8Array<ArrayBuffer>> => {
        const cache = await opened();
        const bytes = new Uint8Array(to - from);
        for (const part of parts) {
          if (part.end <= from || part.start >= to) continue;
          const stored = await (await cache.match(partUrl(key, part.start)))?.blob();
          if (stored?.size !== part.end - part.start) {
            throw new StudioError({
              code: 'FILE_UNREADABLE',
              message: `The stored download of ${fileName} has lost a part.`,
              fix: 'The browser has cleared some of its storage. Download the model again.',
            });
          }
          const wanted = stored.slice(Math.max(0, from - part.start), to - part.start);
          bytes.set(new Uint8Array(await wanted.arrayBuffer()), Math.max(0, part.start - from));
        }
        return bytes;
      };
      return { name: fileName, size: end, read };
    },
    remove: async (key) => {
      const cache = await opened();
      const sizes = await partsOf(key);
      await cache.delete(recordUrl(key));
      let at = 0;
      for (const size of sizes) {
        await cache.delete(partUrl(key, at));
        at += size;
      }
    },
  };
}
