import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestBrowser, untilReady, type TestBrowser } from '../testing/browser.ts';
import { careCases } from './store-care.suite.ts';
import { damageCases } from './store-damage.suite.ts';
import { storeCases } from './store.suite.ts';
import { callInPage as call, type PageTools as Tools } from './testing-page.ts';

type Page = TestBrowser['page'];
/** More than a disk's moods make of the figures below, and much less than reading 10 GB or each record a thousand times. */
const MOST = 5000;
const CASES = [...storeCases, ...damageCases, ...careCases];
let browser: TestBrowser;
/** Each test has a database of its own. */
let name = '';
let count = 0;

beforeAll(async () => {
  browser = await startTestBrowser('/src/storage/testing-in-browser.ts');
});
afterAll(() => browser.close());
beforeEach(() => {
  count += 1;
  name = `test-${String(count)}`;
});

async function openTab(url: string, prepare?: (page: Page) => Promise<void>): Promise<Page> {
  const page = await browser.page.context().newPage();
  await prepare?.(page);
  await page.goto(url);
  await untilReady(page);
  return page;
}

const secondTab = (): Promise<Page> => openTab(browser.page.url());

/** A page of an origin of its own, so that its quota holds from the first byte on. */
async function pageWithQuota(host: string, quotaSize: number): Promise<Page> {
  const url = new URL(browser.page.url());
  url.hostname = `${host}.localhost`;
  return openTab(url.href, async (page) => {
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: url.origin, quotaSize });
  });
}

describe('the store in IndexedDB', () => {
  for (const test of CASES) {
    it(test.name, async () => {
      expect(await call(browser.page, 'runCase', test.name)).toBe('');
    });
  }
});

describe('several tabs', () => {
  it('123: opens a run for reading in the second tab, and for writing once the first is closed', async () => {
    const [first, second] = [await secondTab(), await secondTab()];
    expect(await call(first, 'take', name, false)).toBe('writable');
    expect(await call(first, 'save', 1)).toBe('no error');
    expect(await call(second, 'take', name, false)).toMatch(
      /pirates is being written by another tab or window. It is open for reading here/,
    );
    expect(await call(second, 'listed')).toEqual(['step-000001']);
    await first.close();
    expect(await call(second, 'take', name, true)).toBe('writable');
    expect(await call(second, 'save', 2)).toBe('no error');
    expect(await call(second, 'listed')).toEqual(['step-000001', 'step-000002']);
    await second.close();
  });

  it('123: lets a newer version in another tab change the layout, and is told to reload', async () => {
    const [first, second] = [await secondTab(), await secondTab()];
    await call(first, 'take', name, false);
    expect(await call(second, 'openRaw', name, 99, false)).toBeLessThan(5000);
    expect(await call(first, 'notices')).toEqual(['closing']);
    expect(await call(first, 'save', 1)).toBe('STORE_NEWER');
    await Promise.all([first.close(), second.close()]);
  });

  it('123: finishes a save before it makes way', async () => {
    const result = await call(browser.page, 'newTabUpgrades', name);
    expect(result).toMatchObject({ saved: 'no error', notices: ['closing'], after: 'STORE_NEWER' });
    expect(result.upgraded).toBeLessThan(20_000);
  });

  it('123, 125: gives up in time on an older tab that does not make way, also in a third tab, and works once it is gone', async () => {
    const result = await call(browser.page, 'oldTabBlocks', name);
    expect(result).toMatchObject({ code: 'STORE_LOCKED', third: 'STORE_LOCKED', opened: true });
    expect(result.notices).toContain('blocked');
    expect(result.ms).toBeLessThan(5000);
  });
});

describe('a browser in trouble', () => {
  it.each(['InvalidStateError', 'UnknownError'])(
    '122: opens the connection again after %s',
    async (error) => {
      const result = await call(browser.page, 'losesConnection', name, error, 2);
      expect(result).toEqual({ code: 'no error', total: 1 });
    },
  );

  it('122: gives up on a connection that stays lost', async () => {
    const result = await call(browser.page, 'losesConnection', name, 'UnknownError', 1e9);
    expect(result).toEqual({ code: 'STORE_FAILED', total: 0 });
  });

  it('119: keeps the previous checkpoint when the quota runs out at any write of a save', async () => {
    type Result = Awaited<ReturnType<Tools['fullSomewhere']>>;
    const results = new Map<number, Result>();
    const at = async (kilobytes: number): Promise<Result> => {
      const page = await pageWithQuota(`q${String(kilobytes)}`, kilobytes * 1000);
      const result = results.get(kilobytes) ?? (await call(page, 'fullSomewhere', name));
      results.set(kilobytes, result);
      await page.close();
      return result;
    };
    const find = async (wall: number): Promise<Result> => {
      let [low, high] = [0, 1600];
      for (;;) {
        const middle = (low + high) >> 1;
        const result = await at(middle);
        if (result.wall === wall || middle === low) return result;
        if (result.wall < wall) low = middle;
        else high = middle;
      }
    };
    const old = { names: ['step-000001'], latest: 'step-000001', loose: { orphans: 0, missing: 0 } };
    const both = { ...old, names: ['step-000002', 'step-000001'], latest: 'step-000002', error: null };
    for (const wall of [2, 1, 3]) {
      const result = await find(wall);
      expect(result).toMatchObject({ ...old, wall, error: { code: 'STORE_FULL' } });
      expect(result.error?.message).toMatch(
        /step-000002 was not saved: it needs 60\d\.\d kB, and there is no more room beside the 1\d\.\d kB that are stored/,
      );
      expect(result.error?.fix).toBe(
        'Delete checkpoints of this run for good (1 unpinned, 11.5 kB). Then save again.',
      );
    }
    // Only the note that all was read back is lost: the checkpoint is whole, listed, and the one to go on from.
    expect(await find(4)).toMatchObject({ ...both, wall: 4 });
    expect(await find(5)).toMatchObject({ ...both, wall: 5 });
    expect(await find(0)).toMatchObject({ wall: 0, error: { code: 'STORE_FULL' } });
  }, 300_000);

  it('119: can still delete when nothing can be written', async () => {
    const result = await call(await pageWithQuota('brim', 4_000_000), 'fullToTheBrim', name);
    // The bin needs room for its own records.
    expect(['no error', 'STORE_FULL']).toContain(result.toBin);
    expect(result).toMatchObject({
      refused: { code: 'STORE_FULL' },
      forGood: 'no error',
      saved: 'no error',
      loose: { orphans: 0, missing: 0 },
    });
  }, 300_000);

  it('122, 129: notices when the data of the origin is cleared under it', async () => {
    const page = await secondTab();
    await call(page, 'take', name, false);
    await call(page, 'save', 1);
    const cdp = await page.context().newCDPSession(page);
    const { origin } = new URL(page.url());
    await cdp.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });
    expect(await call(page, 'save', 2)).toBe('STORE_DAMAGED');
    expect(await call(page, 'notices')).toContain('terminated');
    await page.close();
  });
});

describe('a thousand checkpoints', () => {
  it('132: are listed in a time that an empty list gives the measure of', async () => {
    const { empty, full } = await call(browser.page, 'timeListing', name);
    console.log('listing in IndexedDB', JSON.stringify({ empty, full }));
    expect([empty.total, full.total]).toEqual([0, 1000]);
    expect(full.bytes).toBeGreaterThan(10e9);
    // Measured: 100 to 200 times as long for the list, 70 for a new connection and its first look, 60 for a start.
    expect(full.listMs / empty.listMs).toBeLessThan(MOST);
    expect(full.openMs / empty.openMs).toBeLessThan(MOST);
    expect(full.startMs / empty.startMs).toBeLessThan(MOST);
  });
});
