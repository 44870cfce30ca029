import { expect, test } from '@playwright/test';
import { CHROMIUM_FLAGS, findChromium } from '../scripts/lib/chromium.mjs';
import { section, status } from './studio.ts';

// A browser as most people without a GPU have it: nothing that switches the software adapter on.
const args = CHROMIUM_FLAGS.filter((flag) => !flag.includes('webgpu'));
test.use({ launchOptions: { executablePath: (await findChromium()) ?? '', args } });

test('without a GPU the page says why nothing can be trained, and data can still be looked at', async ({
  page,
}) => {
  await page.goto('/');
  await expect(page.getByText('No GPU can be used here.')).toBeVisible();
  const note = page.getByRole('alert');
  await expect(note).toContainText('GPU_UNAVAILABLE');
  await expect(note).toContainText('Update the browser');
  const start = page.getByRole('button', { name: 'Start training' });
  await expect(start).toBeDisabled();
  await expect(status(page)).toHaveText('Not ready yet.');
  await expect(start).toHaveAccessibleDescription(/cannot run here/);

  const preview = section(page, 'Data').getByRole('list', { name: 'What is learned' });
  await expect(preview).toContainText('Arr, matey!');
  await page.getByRole('radio', { name: 'Answers as JSON' }).check();
  await expect(preview).toContainText('{');
});
