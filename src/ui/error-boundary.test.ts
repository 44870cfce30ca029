import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestBrowser, type TestBrowser } from '../testing/browser.ts';

let browser: TestBrowser;
beforeAll(async () => {
  browser = await startTestBrowser('/src/ui/testing-error-boundary.tsx');
});
afterAll(() => browser.close());

it('says what cannot be drawn, leaves the rest as it is, and draws it again when asked to', async () => {
  const { page } = browser;
  const note = page.getByRole('alert');
  await note.waitFor();
  expect(await note.textContent()).toContain('no such row');
  expect(await page.getByText('the rest').count()).toBe(1);
  await page.getByRole('button').click();
  expect(await page.getByText('the part').count()).toBe(0);
  await page.evaluate(() => {
    (globalThis as unknown as { inBrowser: { mend: () => void } }).inBrowser.mend();
  });
  await page.getByRole('button').click();
  await page.getByText('the part').waitFor();
  expect(await note.count()).toBe(0);
});
