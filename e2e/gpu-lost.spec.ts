import { expect, test } from '@playwright/test';
import { openReadyStudio, press, section, setSteps, status } from './studio.ts';

test('a run that loses its GPU says so, and the next one trains', async ({ page, browser }) => {
  await openReadyStudio(page);
  await setSteps(page, 500);
  await press(page, 'Start training');
  await expect(section(page, 'Training').getByText(/at step 1,/)).toBeVisible();
  await (await browser.newBrowserCDPSession()).send('Browser.crashGpuProcess');
  await expect(status(page)).toHaveText('Failed.');
  const note = section(page, 'Training').getByRole('alert');
  await expect(note).toContainText('GPU_LOST');
  await expect(note).toContainText('Resume the run from its last checkpoint, or start again');

  await setSteps(page, 2);
  await press(page, 'Start training');
  await expect(note).toBeHidden();
  await expect(status(page)).toHaveText('Done: 2 of 2 steps.');
});
