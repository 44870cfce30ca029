// The example programs in the page: learning from a reward, and stopping one.
import { expect, test } from '@playwright/test';
import { openReadyStudio, section } from './studio.ts';

test('the reward rises, and the adapter is kept; the other example can be stopped', async ({ page }) => {
  test.setTimeout(600_000);
  await openReadyStudio(page);
  const panel = section(page, 'Learning without example answers');
  const reward = panel.getByRole('article', { name: 'From a reward' });
  const preference = panel.getByRole('article', { name: 'From preferences' });
  await reward.getByRole('button', { name: 'Start learning from a reward' }).click();
  await expect(reward.getByRole('progressbar')).toBeVisible();
  await expect(preference.getByText('Something else is being trained.')).toBeVisible();
  const result = reward.getByText(/Answers that begin as wanted/);
  await expect(result).toBeVisible({ timeout: 500_000 });
  const text = (await result.textContent()) ?? '';
  const [before = NaN, after = NaN] = Array.from(text.matchAll(/(\d+)\s?%/g), ([, share]) => Number(share));
  process.stdout.write(`Reward example: ${text}\n`);
  expect(after).toBeGreaterThan(before + 30);
  await expect(reward.getByRole('img', { name: 'Mean reward over the steps' })).toBeVisible();
  await expect(reward.getByRole('row')).toHaveCount(5);
  await expect(section(page, 'Checkpoints').getByText('final').first()).toBeVisible();

  await preference.getByRole('button', { name: 'Start learning from preferences' }).click();
  await expect(preference.getByRole('progressbar')).toBeVisible();
  await preference.getByRole('button', { name: 'Stop the example' }).click();
  await expect(preference.getByRole('button', { name: 'Start learning from preferences' })).toBeVisible({
    timeout: 120_000,
  });
  await expect(preference.getByRole('alert')).toHaveCount(0);
});
