// What the tests do with the studio again and again. Everything is found as a person finds it: by role and name.
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { expect, type Locator, type Page } from '@playwright/test';
import { unpackTar } from 'modern-tar';

/** Opens the studio and waits until the embedded model is loaded and the first demo set is read. */
export async function openReadyStudio(page: Page): Promise<void> {
  await page.goto('/');
  await expect(page.getByRole('heading', { name: 'What is learned' })).toBeVisible();
}

export function press(page: Page, name: string): Promise<void> {
  return page.getByRole('button', { name, exact: true }).click();
}

/** The run's state, in words. */
export function status(page: Page): Locator {
  return page.getByRole('status');
}

/** A section of the page. */
export function section(page: Page, name: string): Locator {
  return page.getByRole('region', { name, exact: true });
}

/** An answer of the model, by what gave it. */
export function answer(page: Page, title: string): Locator {
  return page.getByRole('article', { name: title, exact: true }).getByRole('paragraph');
}

/** Sets the length of the run in steps. */
export async function setSteps(page: Page, steps: number): Promise<void> {
  await page.getByRole('radio', { name: 'Steps', exact: true }).check();
  await page.getByLabel('Number of steps').fill(String(steps));
}

/** The step that the status names, of a run that is held or stopped. */
export async function statedStep(page: Page): Promise<number> {
  return Number(/step (\d+) of/.exec((await status(page).textContent()) ?? '')?.[1]);
}

/** Step and evaluation loss, where there is one, out of the curve's table. */
export async function evaluations(page: Page): Promise<Map<number, number>> {
  await page.getByText('View as table').click();
  const table = section(page, 'Loss by step').getByRole('table');
  await expect(table).toBeVisible();
  const rows = await table.getByRole('row').all();
  const found = new Map<number, number>();
  for (const row of rows.slice(1)) {
    const [step = '', , evaluation = ''] = await row.locator('th, td').allTextContents();
    if (evaluation !== '') found.set(Number(step), Number(evaluation));
  }
  return found;
}

export interface Downloaded {
  fileName: string;
  /** Paths in the order of the archive. */
  paths: string[];
  json: (path: string) => Record<string, unknown>;
}

/** Presses the download button and unpacks what arrives. */
export async function downloadAdapter(page: Page): Promise<Downloaded> {
  const arriving = page.waitForEvent('download');
  await press(page, 'Download adapter');
  const download = await arriving;
  const entries = await unpackTar(gunzipSync(await readFile(await download.path())));
  return {
    fileName: download.suggestedFilename(),
    paths: entries.map(({ header }) => header.name),
    json: (path) => {
      const entry = entries.find(({ header }) => header.name === path);
      return JSON.parse(new TextDecoder().decode(entry?.data)) as Record<string, unknown>;
    },
  };
}
