/** Pages that end in the middle of something, and browsers that keep little or nothing. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestBrowser, untilReady, type TestBrowser } from '../testing/browser.ts';
import { startKillableBrowser } from '../testing/killable-browser.ts';
import { KillLedger, type Inspection } from './testing-kill.ts';
import { callInPage as call } from './testing-page.ts';

type Page = TestBrowser['page'];
let browser: TestBrowser;
beforeAll(async () => {
  browser = await startTestBrowser('/src/storage/testing-in-browser.ts');
});
afterAll(() => browser.close());

async function openTab(prepare?: (page: Page) => Promise<unknown>): Promise<Page> {
  const page = await browser.page.context().newPage();
  await prepare?.(page);
  await page.goto(browser.page.url());
  await untilReady(page);
  return page;
}

/** The locks of a page that is gone are free a moment later. */
async function inspectOnceFree(page: Page, name: string): Promise<Inspection> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const found = await call(page, 'inspect', name);
    const isFree = !found.problems.includes('the sweep did not run');
    if (isFree || performance.now() > deadline) return found;
    await page.waitForTimeout(50);
  }
}

/** How the page of a run may end; gives a page that looks at what is left. */
const ENDS: Record<string, (page: Page) => Promise<Page>> = {
  'is loaded again': async (page) => {
    await page.reload();
    await untilReady(page);
    return page;
  },
  'is left and come back to': async (page) => {
    await page.goto('about:blank');
    await page.goBack();
    await untilReady(page);
    return page;
  },
  'crashes, as one does that is thrown out of memory': async (page) => {
    const cdp = await page.context().newCDPSession(page);
    const crashed = page.waitForEvent('crash');
    cdp.send('Page.crash').catch(() => undefined);
    await crashed;
    await page.close();
    return openTab();
  },
  'is closed': async (page) => {
    await page.close();
    return openTab();
  },
};

describe('a page in the middle of its saves', () => {
  it.each(Object.keys(ENDS))('121: that %s loses nothing that was saved', async (how) => {
    const name = `ends ${how}`;
    const ledger = new KillLedger();
    for (let round = 1; round <= 4; round++) {
      let changes = 0;
      const page = await openTab((opened) =>
        opened.exposeFunction('report', (line: string) => {
          ledger.note(line);
          changes += 1;
        }),
      );
      const working = call(page, 'work', name, round).catch(String);
      const deadline = performance.now() + 30_000;
      while (changes < 2 + 3 * round && performance.now() < deadline) await page.waitForTimeout(5);
      await page.waitForTimeout(Math.random() * 100);
      const next = (await ENDS[how]?.(page)) ?? page;
      expect(await working).toMatch(/closed|crash|destroyed|navigat/i);
      const found = await inspectOnceFree(next, name);
      expect({ round, wrong: ledger.judge(found) }).toEqual({ round, wrong: [] });
      await next.close();
    }
    expect(ledger.saved).toBeGreaterThan(4);
  });

  it('125: that ends in the middle of making the store leaves none, and the next one makes it whole', async () => {
    const page = await openTab();
    await call(page, 'halfUpgrade', 'half');
    await ENDS['crashes, as one does that is thrown out of memory']?.(page).then((next) => next.close());
    const next = await openTab();
    expect(await call(next, 'take', 'half', true)).toBe('writable');
    expect(await call(next, 'save', 1)).toBe('no error');
    expect(await call(next, 'listed')).toEqual(['step-000001']);
    await next.close();
  });
});

describe('a browser that keeps little', () => {
  it('129: works in a private window; the next one is new and misses nothing', async () => {
    const host = browser.page.context().browser();
    for (let window = 1; window <= 2; window++) {
      const context = await host?.newContext();
      const page = await context?.newPage();
      if (page === undefined) throw new Error('no window');
      await page.goto(browser.page.url());
      await untilReady(page);
      expect(await call(page, 'openAndList', 'private')).toEqual({ code: 'no error', names: [], lost: null });
      expect(await call(page, 'take', 'private', false)).toBe('writable');
      expect(await call(page, 'save', window)).toBe('no error');
      await page.reload();
      await untilReady(page);
      const { names } = await call(page, 'openAndList', 'private');
      expect(names).toEqual([`step-00000${String(window)}`]);
      await context?.close();
    }
  });

  it('129: says so where the page may keep nothing at all', async () => {
    const profile = await mkdtemp(join(tmpdir(), 'lorikeet-blocked-'));
    await mkdir(join(profile, 'Default'));
    // What a person sets under "on-device site data": do not allow.
    const settings = { profile: { default_content_setting_values: { cookies: 2 } } };
    await writeFile(join(profile, 'Default', 'Preferences'), JSON.stringify(settings));
    const started = await startKillableBrowser(browser.page.url(), profile, () => Promise.resolve());
    try {
      const { code, names } = await call(started.page, 'openAndList', 'blocked');
      expect([code, names]).toEqual(['STORE_FAILED', []]);
    } finally {
      await started.kill();
      await rm(profile, { recursive: true, force: true });
    }
  });

  it('119: says so when there is no room for the store itself', async () => {
    const url = new URL(browser.page.url());
    url.hostname = 'nothing.localhost';
    const page = await browser.page.context().newPage();
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: url.origin, quotaSize: 1 });
    await page.goto(url.href);
    await untilReady(page);
    expect((await call(page, 'openAndList', 'full')).code).toBe('STORE_FULL');
    // Once there is room the same page goes on.
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: url.origin, quotaSize: 1e8 });
    expect((await call(page, 'openAndList', 'full')).code).toBe('no error');
    await page.close();
  });
});
