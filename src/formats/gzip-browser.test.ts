/** Gzip in a real browser: its codec differs from Node's in what it makes of bytes behind a member. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestBrowser, type TestBrowser } from '../testing/browser.ts';
import { archiveEntries, toTarGz } from './archive-write.ts';
import { fromStream } from './streams.ts';
import { testExport } from './testing-export.ts';
import { gzipCorpus, packed } from './testing-gzip-corpus.ts';
import type { inBrowser as InBrowser } from './testing-in-browser.ts';
import { join } from './testing-tar.ts';
import { collect } from './testing.ts';

let browser: TestBrowser;
beforeAll(async () => {
  browser = await startTestBrowser('/src/formats/testing-in-browser.ts');
});
afterAll(() => browser.close());

/** Calls a function of the page's module. */
function call<K extends keyof typeof InBrowser>(
  tool: K,
  ...args: Parameters<(typeof InBrowser)[K]>
): Promise<Awaited<ReturnType<(typeof InBrowser)[K]>>> {
  return browser.page.evaluate(
    ([key, values]) => {
      const page = globalThis as unknown as { inBrowser: Record<string, (...a: unknown[]) => unknown> };
      return page.inBrowser[key]?.(...values) as never;
    },
    [tool, args] as const,
  );
}

it.each(gzipCorpus().map((c) => [`${String(c.number)} ${c.name}`, c] as const))('%s', async (_, c) => {
  expect(await call('unpack', [...c.bytes])).toBe(c.text ?? 'GZIP_INVALID');
});

it('86, 90: an empty member in front: read in full or refused', async () => {
  expect(['world', 'GZIP_INVALID']).toContain(await call('unpack', [...join(packed(''), packed('world'))]));
});

it('82: an archive of ours that was cut off anywhere', async () => {
  const bytes = await collect(fromStream(toTarGz(await archiveEntries(testExport()))));
  const lengths = Array.from({ length: bytes.byteLength - 1 }, (_, i) => i + 1);
  expect(new Set(await call('readCut', [...bytes], lengths))).toEqual(new Set(['GZIP_INVALID']));
  expect(await call('readCut', [...bytes], [bytes.byteLength])).toEqual(['no error']);
});

it('87: a bomb is stopped at the cap', async () => {
  const bomb = gzipSync(new Uint8Array(64 * 2 ** 20));
  const { code, out } = await call('unpackBomb', [...bomb], 2 ** 20);
  expect(code).toBe('INPUT_TOO_LARGE');
  expect(out).toBeLessThanOrEqual(2 ** 20);
});
