import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, expect, test, type BrowserContext, type Page } from '@playwright/test';
import { CHROMIUM_FLAGS, findChromium } from '../scripts/lib/chromium.mjs';
import { openReadyStudio, press, section, setSteps, status } from './studio.ts';

const STEPS = 8;

/** A browser with a profile on disk, which outlives it. */
async function openProfile(profile: string): Promise<{ context: BrowserContext; page: Page }> {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: (await findChromium())!,
    args: CHROMIUM_FLAGS,
    baseURL: `http://127.0.0.1:${process.env['LORIKEET_PORT']}/`,
  });
  return { context, page: context.pages()[0] ?? (await context.newPage()) };
}

/** Dropout, shuffling, accumulation, warm-up and cosine; a checkpoint every second step. */
async function setHard(page: Page): Promise<void> {
  await setSteps(page, STEPS);
  await page.getByLabel('Batch size').fill('2');
  await page.getByLabel('Rank', { exact: true }).fill('4');
  await page.getByText('Keeping checkpoints').click();
  await page.getByLabel('Save every', { exact: true }).fill('2');
  await page.getByText('Advanced').click();
  await page.getByLabel('Schedule').selectOption('cosine');
  await page.getByLabel('Warm-up steps').fill('2');
  await page.getByLabel('Accumulation').fill('2');
  await page.getByLabel('Dropout').fill('0.1');
}

/** The hashes of a stored checkpoint's files by path, out of the browser's own database. */
function filesOf(page: Page, name: string): Promise<Record<string, string>> {
  return page.evaluate(async (wanted) => {
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open('lorikeet-checkpoints');
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error!);
    });
    const all = await new Promise<{ name: string; parts: { path: string; sha256: string }[] }[]>(
      (resolve) => {
        const request = db.transaction('checkpoints').objectStore('checkpoints').getAll();
        request.onsuccess = () => resolve(request.result);
      },
    );
    db.close();
    const parts = all.find((checkpoint) => checkpoint.name === wanted)?.parts ?? [];
    return Object.fromEntries(parts.map(({ path, sha256 }) => [path, sha256]));
  }, name);
}

const list = (page: Page) => section(page, 'Checkpoints').getByRole('row');

test('a run whose browser was killed with SIGKILL goes on in a new one, to the same bits', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lorikeet-profile-'));
  try {
    const straight = await openProfile(join(folder, 'straight'));
    await openReadyStudio(straight.page);
    await setHard(straight.page);
    await press(straight.page, 'Start training');
    await expect(status(straight.page)).toHaveText(`Done: ${STEPS} of ${STEPS} steps.`, { timeout: 200_000 });
    await expect(list(straight.page).filter({ hasText: 'final' })).toBeVisible();
    const whole = await filesOf(straight.page, 'final');
    await straight.context.close();
    expect(Object.keys(whole)).toEqual(
      expect.arrayContaining(['state/optimizer.safetensors', 'state/metrics.jsonl']),
    );

    const profile = join(folder, 'killed');
    const first = await openProfile(profile);
    await openReadyStudio(first.page);
    await setHard(first.page);
    await press(first.page, 'Start training');
    await expect(list(first.page).filter({ hasText: 'step-000004' })).toBeVisible({ timeout: 200_000 });
    execFileSync('pkill', ['-9', '-f', profile]);
    await first.context.close().catch(() => undefined);

    const second = await openProfile(profile);
    await second.page.goto('/');
    const offer = section(second.page, 'Resume the run');
    await expect(offer).toContainText(/stopped at step [46] of 8/);
    await press(second.page, 'Resume the run');
    await expect(status(second.page)).toHaveText(`Done: ${STEPS} of ${STEPS} steps.`, { timeout: 200_000 });
    await expect(section(second.page, 'Training')).toContainText('bit for bit');
    await expect(list(second.page).filter({ hasText: 'final' })).toBeVisible();
    const { ['checkpoint.json']: _, ...resumed } = await filesOf(second.page, 'final');
    await second.context.close();
    const { ['checkpoint.json']: __, ...expected } = whole;
    expect(resumed).toEqual(expected);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('checkpoints are changed, compared, taken out, deleted, brought back and dropped in', async ({
  page,
}) => {
  await openReadyStudio(page);
  await setHard(page);
  await press(page, 'Start training');
  await expect(status(page)).toHaveText(`Done: ${STEPS} of ${STEPS} steps.`, { timeout: 200_000 });
  const kept = section(page, 'Checkpoints');
  await expect(list(page).filter({ hasText: 'final' })).toBeVisible();

  await kept.getByRole('button', { name: 'More… about final' }).click();
  await kept.getByLabel('Tags').fill('good, pirate');
  await press(page, 'Apply');
  await expect(list(page).filter({ hasText: 'final' }).first()).toContainText('pirate');
  await press(page, 'Pin');
  await expect(list(page).filter({ hasText: 'final' }).first()).toContainText('pinned');
  await press(page, 'Check bytes');
  await expect(kept).toContainText('final is whole: every byte is what was written.');
  const arriving = page.waitForEvent('download');
  await press(page, 'Everything (.tar.gz)');
  const archive = await readFile(await (await arriving).path());

  const boxes = kept.getByRole('checkbox');
  await boxes.nth(0).check();
  await boxes.nth(1).check();
  await press(page, 'Compare');
  await expect(kept).toContainText('Angle between all weights: cosine');

  await kept.getByLabel('Find').fill('pirate');
  await expect(kept).toContainText('1 to 1 of 1');
  await kept.getByLabel('Find').fill('');
  await expect(kept).not.toContainText('1 to 1 of 1');

  // What was out of sight is no longer marked; the one that was found still is.
  await boxes.nth(0).uncheck();
  await boxes.nth(1).check();
  await press(page, 'Delete 1');
  await expect(kept).toContainText('The checkpoint is in the bin.');
  const bin = kept.getByText(/^Bin \(/);
  await bin.click();
  const binned = Number(/\((\d+)/.exec((await bin.textContent()) ?? '')?.[1]);
  await kept
    .getByRole('button', { name: /^Bring back/ })
    .first()
    .click();
  await (binned > 1 ? expect(bin).toContainText(`Bin (${binned - 1}`) : expect(bin).toHaveCount(0));

  // What was taken out is dropped in again: it is looked at first, and known.
  await page.evaluate(
    (bytes) => {
      const file = new File([Uint8Array.from(bytes)], 'mine.tar.gz');
      const transfer = new DataTransfer();
      transfer.items.add(file);
      document.body.dispatchEvent(
        new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }),
      );
    },
    [...archive],
  );
  const look = section(page, 'What it is');
  await expect(look).toContainText('with everything to resume');
  await press(page, 'Add to the list');
  await expect(kept).toContainText('final was there already, with the same content.');

  await press(page, 'Check that resuming is exact');
  await expect(kept).toContainText(/Equal: all [\d,]+ numbers after 8 steps are the same, bit for bit\./, {
    timeout: 200_000,
  });
});

test('a second tab sees the run that trains in the first, and cannot write it; when that is closed it can', async ({
  context,
}) => {
  const [first, second] = [await context.newPage(), await context.newPage()];
  await openReadyStudio(first);
  await setHard(first);
  await first.getByLabel('Number of steps').fill('500');
  await press(first, 'Start training');
  await expect(list(first).filter({ hasText: 'step-000002' })).toBeVisible({ timeout: 200_000 });
  // Held, so that its newest checkpoint stays the newest: from an earlier one the second tab would make a fork.
  await press(first, 'Pause');
  await expect(status(first)).toHaveText(/^Paused at step/);
  await second.goto('/');
  await second
    .getByRole('button', { name: /^Resume from/ })
    .first()
    .click();
  await expect(
    section(second, 'Training')
      .or(section(second, 'Checkpoints'))
      .filter({ hasText: 'STORE_LOCKED' })
      .first(),
  ).toBeVisible();
  await first.close({ runBeforeUnload: false });
  await second.reload();
  await press(second, 'Resume the run');
  await expect(section(second, 'Training')).toContainText('bit for bit');
  await press(second, 'Stop');
  await expect(status(second)).toHaveText(/^Stopped after step \d+ of 500\.$/);
});
