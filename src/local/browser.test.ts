/** The package in a page of a real Chromium: its GPU, its IndexedDB, the embedded model. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestBrowser, type TestBrowser } from '../testing/browser.ts';
import type { inBrowser as InBrowser } from './testing-in-browser.ts';

let browser: TestBrowser;
beforeAll(async () => {
  browser = await startTestBrowser('/src/local/testing-in-browser.ts');
});
afterAll(() => browser.close());

const call = <K extends keyof typeof InBrowser>(
  tool: K,
  ...args: Parameters<(typeof InBrowser)[K]>
): Promise<Awaited<ReturnType<(typeof InBrowser)[K]>>> =>
  browser.page.evaluate(
    ([key, values]) => {
      const inPage = globalThis as unknown as { inBrowser: Record<string, (...a: unknown[]) => unknown> };
      return inPage.inBrowser[key]?.(...values) as never;
    },
    [tool, args] as const,
  );

test('trains, saves, goes on bit for bit, samples; the checkpoint is there after a reload', async () => {
  const { before, straight, resumed, path, tokens } = await call('trainAndResume', '/public/');
  expect(before).toHaveLength(18);
  expect(resumed).toEqual(straight);
  expect(straight).not.toEqual(before);
  expect(tokens.length).toBeGreaterThan(0);
  await browser.reload();
  const [, , runId = ''] = path.split('/');
  expect(await call('listed', runId)).toEqual(['weights/two']);
});
