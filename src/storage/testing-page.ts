/** Calls from the tests into the page of the test browser. */
import type { Page } from 'playwright';
import type { inBrowser as InBrowser } from './testing-in-browser.ts';

export type PageTools = typeof InBrowser;

/** Calls one of the functions of the page's module. */
export function callInPage<K extends keyof PageTools>(
  page: Page,
  tool: K,
  ...args: Parameters<PageTools[K]>
): Promise<Awaited<ReturnType<PageTools[K]>>> {
  return page.evaluate(
    ([key, values]) => {
      const tools = (globalThis as unknown as { inBrowser: Record<string, (...a: unknown[]) => unknown> })
        .inBrowser;
      return tools[key]?.(...values) as never;
    },
    [tool, args] as const,
  );
}
