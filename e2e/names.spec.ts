import { expect, test } from '@playwright/test';
import { openReadyStudio } from './studio.ts';

test('everything is found by role and name', async ({ page }) => {
  await openReadyStudio(page);
  await expect(page.getByRole('radiogroup', { name: 'Model', exact: true })).toMatchAriaSnapshot(`
    - radiogroup "Model":
      - radio "Embedded model" [checked]
      - radio "Folder or files"
      - radio "Hugging Face Hub"
  `);
  await expect(page.getByRole('radiogroup', { name: 'Data', exact: true })).toMatchAriaSnapshot(`
    - radiogroup "Data":
      - radio "Answers like a pirate" [checked]
      - radio "Answers as JSON"
      - radio "New facts"
      - radio "Your own file"
      - button "Data file"
  `);
  await expect(page.getByLabel('Data file')).toHaveAttribute('type', 'file');
  await expect(page.getByRole('region', { name: 'Run', exact: true })).toMatchAriaSnapshot(`
    - region "Run":
      - status: Ready.
      - button "Start training"
      - button "Download adapter" [disabled]
  `);
  await expect(page.getByRole('region', { name: 'Training', exact: true })).toMatchAriaSnapshot(`
    - region "Training":
      - heading "Training" [level=2]
      - term: Step
      - heading "Loss" [level=3]
      - img "Training loss"
  `);
  await expect(page.getByRole('main')).toMatchAriaSnapshot(`
    - main:
      - region "Settings":
        - textbox "Rank": /8/
        - textbox "Alpha": /16/
        - textbox "Learning rate"
        - textbox "Batch size"
        - radiogroup "Length of the run":
          - radio "Epochs" [checked]
          - radio "Steps"
        - textbox "Number of epochs"
  `);
});

test('the run can be started and ended by keyboard alone', async ({ page }) => {
  await openReadyStudio(page);
  const focused = (name: string) => page.getByRole('button', { name, exact: true, disabled: false });
  const tabTo = async (name: string): Promise<void> => {
    for (let presses = 0; presses < 60; presses++) {
      if (await focused(name).evaluate((element) => element === document.activeElement)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`Tab does not reach ${name}.`);
  };
  await tabTo('Start training');
  await page.keyboard.press('Enter');
  // The focus stays where it was: the same place now pauses.
  await expect(focused('Pause')).toBeFocused();
  await tabTo('Stop');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('status')).toHaveText(/^(Stopped|Ready)/);
});
