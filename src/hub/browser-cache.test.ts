import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestBrowser, type TestBrowser } from '../testing/browser.ts';
import { startFakeHub, type FakeHub } from './testing-hub.ts';
import type { inBrowser as InBrowser } from './testing-in-browser.ts';

const ID = 'acme/tiny';
const weights = new Uint8Array(randomBytes(13_000_000));
const sha256 = createHash('sha256').update(weights).digest('hex');
const BORDER = 4 * 2 ** 20;
let browser: TestBrowser;
let hub: FakeHub;

beforeAll(async () => {
  hub = await startFakeHub(ID, new Map([['model.safetensors', weights]]));
  browser = await startTestBrowser('/src/hub/testing-in-browser.ts');
});
afterAll(async () => {
  await browser.close();
  await hub.close();
});

type Page = { inBrowser: typeof InBrowser };
const download = () =>
  browser.page.evaluate((options) => (globalThis as unknown as Page).inBrowser.download(options), {
    id: ID,
    hubUrl: hub.url,
  });

describe('browserHubCache in Chromium', () => {
  it('keeps what a broken download brought, over a reload of the page, and goes on from there', async () => {
    const broken = { kind: 'drop', after: 0 } as const;
    hub.faults = [{ kind: 'drop', after: 9_000_000 }, broken, broken, broken, broken, broken];
    expect(await download()).toMatchObject({ code: 'HUB_FAILED' });
    hub.faults = [];
    await browser.reload();
    const result = await download();
    expect(result).toMatchObject({
      code: 'no error',
      sha256,
      middle: [...weights.subarray(BORDER - 3, BORDER + 3)],
    });
    expect(result.resumedFrom).toBeGreaterThanOrEqual(BORDER);
  });

  it('needs the network no more afterwards', async () => {
    hub.requests.length = 0;
    expect(await download()).toMatchObject({ code: 'no error', sha256 });
    expect(hub.requests.filter((line) => line.includes('/resolve/'))).toEqual([]);
  });

  it('notices a part that the browser has cleared', async () => {
    await browser.page.evaluate(() => (globalThis as unknown as Page).inBrowser.loseFirstPart());
    expect(await download()).toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  it('refuses bytes out of order, and removes all parts of a file', async () => {
    expect(
      await browser.page.evaluate(() => (globalThis as unknown as Page).inBrowser.appendAndRemove()),
    ).toEqual({
      refused: 'FILE_WRITE_FAILED',
      length: 10,
      keys: 0,
    });
  });
});

describe('archives in Chromium', () => {
  it('pack and unpack there; several gzip members are refused, not cut short; no text is run as code', async () => {
    expect(
      await browser.page.evaluate(() => (globalThis as unknown as Page).inBrowser.packAndUnpack()),
    ).toEqual({
      same: true,
      whole: 'no error',
      twoMembers: 'GZIP_INVALID',
      junkAtTheEnd: 'GZIP_INVALID',
      cut: 'GZIP_INVALID',
      violations: [],
    });
  });
});
