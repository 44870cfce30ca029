import { expect, test, type Page } from '@playwright/test';
import { openReadyStudio, section } from './studio.ts';

const pickData = (page: Page, name: string, text: string): Promise<void> =>
  page.getByLabel('Data file').setInputFiles({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });

test('a file of one’s own is read, shown as it is trained, and every row is accounted for', async ({
  page,
}) => {
  await openReadyStudio(page);
  const rows = [
    '{"prompt": "What is red?", "completion": " A rose is red.", "source": "me"}',
    '{"prompt": "What is blue?"}',
    '{"prompt": "What is green?", "completion": " Grass is green."}',
    'not json',
  ];
  await pickData(page, 'colours.jsonl', rows.join('\n'));
  const data = section(page, 'Data');
  await expect(page.getByRole('radio', { name: 'Your own file' })).toBeChecked();
  await expect(data.getByText('2 rows cannot be used')).toBeVisible();
  await expect(data.getByText('Line 2:')).toBeVisible();
  await expect(data.getByText('Line 4:')).toBeVisible();
  await expect(data.getByText('Columns that are not used: source.')).toBeVisible();
  const preview = data.getByRole('list', { name: 'What is learned' }).getByRole('listitem');
  await expect(preview.first()).toContainText('What is red? A rose is red.');
  await expect(preview.first().locator('mark')).toHaveText(/^ ?A rose is red\..*$/);
  await expect(page.getByLabel('Question', { exact: true })).toHaveValue('What is red?');

  await page.getByRole('radio', { name: 'All of the text' }).check();
  await expect(preview.first().locator('mark').first()).toContainText('is red?');
});

for (const [name, text, code, fix] of [
  ['replies.jsonl', '{"question": "Why?", "reply": "So."}\n', 'DATA_FORMAT', 'Use one of these formats'],
  ['empty.csv', '\n', 'DATA_EMPTY', 'at least one row'],
  ['photo.png', 'PNG', 'DATA_FORMAT', '.jsonl'],
] as const) {
  test(`${name} is refused with ${code}, the fact and the way out`, async ({ page }) => {
    await openReadyStudio(page);
    await pickData(page, name, text);
    const note = section(page, 'Data').getByRole('alert');
    await expect(note).toContainText(name);
    await expect(note).toContainText(code);
    await expect(note).toContainText(fix);
    const start = page.getByRole('button', { name: 'Start training' });
    await expect(start).toBeDisabled();
    await expect(start).toHaveAccessibleDescription('The data cannot be used.');

    await page.getByRole('radio', { name: 'New facts' }).check();
    await expect(start).toBeEnabled();
    await expect(note).toBeHidden();
  });
}
