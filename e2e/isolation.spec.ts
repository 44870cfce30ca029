import { expect, test } from '@playwright/test';

test('the page is served isolated, with both headers', async ({ page }) => {
  const response = await page.goto('/');
  expect(response?.status()).toBe(200);
  const headers = response?.headers() ?? {};
  expect(headers['cross-origin-opener-policy']).toBe('same-origin');
  expect(headers['cross-origin-embedder-policy']).toBe('require-corp');
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
});

test('a file that is not there is not found', async ({ request }) => {
  expect((await request.get('/models/none/config.json')).status()).toBe(404);
});

test('this Chromium has a WebGPU adapter', async ({ page }) => {
  await page.goto('/');
  const found = await page.evaluate(async () => (await navigator.gpu.requestAdapter()) !== null);
  expect(found).toBe(true);
});
