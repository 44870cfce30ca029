import { expect, test } from '@playwright/test';
import {
  answer,
  downloadAdapter,
  openReadyStudio,
  press,
  section,
  setSteps,
  statedStep,
  status,
} from './studio.ts';

test('a run is held, goes on, is ended early, and its adapter is kept', async ({ page }) => {
  await openReadyStudio(page);
  // Far more than it will take, so that only Stop ends it.
  await setSteps(page, 500);
  await press(page, 'Start training');
  await expect(section(page, 'Training').getByText(/^Loss .* at step [2-9]/)).toBeVisible();

  await press(page, 'Pause');
  await expect(status(page)).toHaveText(/^Paused at step \d+ of 500\.$/);
  const held = await statedStep(page);
  // What is downloaded now is the adapter of the step at which the run is held, and the run still is there after it.
  expect((await downloadAdapter(page)).json('checkpoint.json')).toMatchObject({ step: held });
  expect(await statedStep(page)).toBe(held);

  await press(page, 'Resume');
  await expect(status(page)).toHaveText(/^Training/);
  await expect(section(page, 'Training').getByText(`at step ${held + 1}`)).toBeVisible();
  await press(page, 'Stop');
  await expect(status(page)).toHaveText(/^Stopped after step \d+ of 500\.$/);
  const ended = await statedStep(page);
  expect(ended).toBeGreaterThan(held);
  expect(ended).toBeLessThan(500);
  await expect(answer(page, 'After')).toHaveText(/\w/);

  const first = await downloadAdapter(page);
  expect(first.json('checkpoint.json')).toMatchObject({ step: ended });
  // The same state downloaded twice is the same archive, ids and time included.
  expect((await downloadAdapter(page)).json('checkpoint.json')).toEqual(first.json('checkpoint.json'));
  await expect(page.getByRole('button', { name: 'Start training' })).toBeEnabled();
});

test('a run whose loss is no longer a number fails with its reason', async ({ page }) => {
  await openReadyStudio(page);
  await page.getByLabel('Learning rate').fill('1e9');
  await press(page, 'Start training');
  await expect(status(page)).toHaveText('Failed.', { timeout: 60_000 });
  const note = section(page, 'Training').getByRole('alert');
  await expect(note).toContainText('LOSS_NOT_FINITE');
  await expect(note).toContainText('the learning rate 1000000000');
  await expect(note).toContainText('smaller learning rate');
});
